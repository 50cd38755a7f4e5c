#include <cooperative_groups.h>

#include <bit>

#include "gpu/kernels/embedding.h"
#include "gpu/kernels/embedding_workspace.h"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/row.cuh"

// A stable radix sort of a few ten thousand tokens: so few that the launches of a general sort
// would take longer than the sorting. The blocks of a cluster own a stretch of the positions each;
// digit by digit, the lowest first, they count, wait for each other, and move.

namespace pairedhead::gpu {
namespace {

constexpr int digit_bits = 8, digits = 1 << digit_bits;
constexpr int threads = 1024, warps = threads / warp_threads;
// So many threads share what there is to add up for a digit, over warps and over blocks.
constexpr int threads_of_digit = threads / digits;
constexpr int warps_of_thread = warps / threads_of_digit;
constexpr int together = 6;  // tokens of a thread that it holds at once

struct Sort {
  const std::int32_t* tokens;
  int count, passes, steps;     // steps: a warp owns 32 positions times so many
  OrderedToken *order, *spare;  // [count] each
  std::uint32_t* named;
  int named_words;

  // Where a pass leaves the tokens: the last one in `order`.
  __device__ OrderedToken* result(int pass) const {
    return (passes - 1 - pass) % 2 == 0 ? order : spare;
  }
  __device__ OrderedToken entry(int pass, int i) const {
    return pass == 0 ? OrderedToken{tokens[i], i} : result(pass - 1)[i];
  }
  static __device__ int digit(int pass, const OrderedToken& entry) {
    return entry.token >> (pass * digit_bits) & (digits - 1);
  }
};

// A lane's share of a warp's stretch of the positions. `of_digits` are the warp's, in shared
// memory.
class Stretch {
 public:
  __device__ __forceinline__ Stretch(const Sort& sort, int warp_of_cluster)
      : sort_(sort), first_(warp_of_cluster * sort.steps * warp_threads + lane_of_warp()) {}

  // Leaves in of_digits how many tokens the warp has of each.
  __device__ __forceinline__ void count(int pass, int* of_digits) {
    for (int digit = lane_of_warp(); digit < digits; digit += warp_threads) of_digits[digit] = 0;
    __syncwarp();
    for (int begun = 0; begun < sort_.steps; begun += together) {
      load(pass, begun);
#pragma unroll
      for (int n = 0; n < together; ++n) {
        if (active(begun + n)) atomicAdd(&of_digits[Sort::digit(pass, tokens_[n])], 1);
      }
    }
  }

  // After count(); of_digits: where the warp's first token of each goes.
  __device__ __forceinline__ void move(int pass, int* of_digits) {
    const unsigned lanes_before = (1u << lane_of_warp()) - 1;
    for (int begun = 0; begun < sort_.steps; begun += together) {
      if (sort_.steps > together) load(pass, begun);
#pragma unroll
      for (int n = 0; n < together; ++n) {
        if (begun + n >= sort_.steps) break;
        const bool one = active(begun + n);
        const int digit = one ? Sort::digit(pass, tokens_[n]) : digits;
        const unsigned alike = __match_any_sync(0xffffffffu, digit);
        const int before = __popc(alike & lanes_before);
        const int place = one ? of_digits[digit] + before : 0;
        __syncwarp();
        if (one && before == 0) of_digits[digit] = place + __popc(alike);
        __syncwarp();
        if (one) sort_.result(pass)[place] = tokens_[n];
      }
    }
  }

  // The first of equal tokens names their row: one for each, while in the text thousands would wait
  // for each other at the words of the frequent ones.
  __device__ __forceinline__ void name_rows() const {
    for (int step = 0; active(step); ++step) {
      const int i = position(step), token = sort_.order[i].token;
      if (i > 0 && sort_.order[i - 1].token == token) continue;
      atomicOr(&sort_.named[token / warp_threads], 1u << token % warp_threads);
    }
  }

 private:
  __device__ int position(int step) const { return first_ + step * warp_threads; }
  __device__ bool active(int step) const {
    return step < sort_.steps && position(step) < sort_.count;
  }
  __device__ __forceinline__ void load(int pass, int begun) {
#pragma unroll
    for (int n = 0; n < together; ++n) {
      if (active(begun + n)) tokens_[n] = sort_.entry(pass, position(begun + n));
    }
  }

  const Sort& sort_;
  int first_;
  OrderedToken tokens_[together];
};

// How many tokens have a digit: in the blocks before this one, and in all.
struct DigitCount {
  int before, all;
};

// Of digit threadIdx.x, in the first `digits` threads; called by all. counts: each block's,
// [digits] in its shared memory; parts: shared memory.
template <int blocks>
__device__ DigitCount count_of_digit(const cooperative_groups::cluster_group& cluster, int* counts,
                                     DigitCount (*parts)[digits]) {
  const int thread = static_cast<int>(threadIdx.x);
  const int digit = thread % digits, part = thread / digits;
  const int block = static_cast<int>(cluster.block_rank());
  constexpr int blocks_of_thread = blocks / threads_of_digit;
  DigitCount sum{};
#pragma unroll
  for (int i = 0; i < blocks_of_thread; ++i) {
    const int other = part * blocks_of_thread + i;
    const int count = cluster.map_shared_rank(counts, other)[digit];
    sum.before += other < block ? count : 0;
    sum.all += count;
  }
  parts[part][digit] = sum;
  __syncthreads();
  if (thread < digits) {
#pragma unroll
    for (int other = 1; other < threads_of_digit; ++other) {
      sum.before += parts[other][digit].before;
      sum.all += parts[other][digit].all;
    }
  }
  __syncthreads();
  return sum;
}

template <int blocks>  // of the cluster
__global__ void __launch_bounds__(threads) sort_kernel(Sort sort) {
  __shared__ int of_warps[warps][digits];  // a warp's counts, then where its tokens go
  __shared__ int of_parts[threads_of_digit][digits];
  __shared__ int counts[digits];  // of the block's tokens
  __shared__ DigitCount shares[threads_of_digit][digits];
  __shared__ int first_place[digits];  // of the block's tokens
  wait_for_kernel_before();
  let_next_kernel_start();
  const auto cluster = cooperative_groups::this_cluster();
  const int thread = static_cast<int>(threadIdx.x);
  const int block = static_cast<int>(cluster.block_rank());
  for (int word = block * threads + thread; word < sort.named_words; word += blocks * threads) {
    sort.named[word] = 0;
  }
  Stretch stretch(sort, block * warps + warp_of_block());
  int* const of_own_warp = of_warps[warp_of_block()];
  // The digit and the part of the warps that this thread adds up.
  const int digit = thread % digits, part = thread / digits;
  int(*const of_own_part)[digits] = of_warps + part * warps_of_thread;
  for (int pass = 0; pass < sort.passes; ++pass) {
    stretch.count(pass, of_own_warp);
    __syncthreads();
    int here[warps_of_thread], in_part = 0;
#pragma unroll
    for (int n = 0; n < warps_of_thread; ++n) in_part += here[n] = of_own_part[n][digit];
    of_parts[part][digit] = in_part;
    __syncthreads();
    int before_part = 0, in_block = 0;
#pragma unroll
    for (int other = 0; other < threads_of_digit; ++other) {
      before_part += other < part ? of_parts[other][digit] : 0;
      in_block += of_parts[other][digit];
    }
    if (part == 0) counts[digit] = in_block;
    cluster.sync();

    const DigitCount count = count_of_digit<blocks>(cluster, counts, shares);
    const int smaller = sum_before<threads>(part == 0 ? count.all : 0);
    if (part == 0) first_place[digit] = smaller + count.before;
    __syncthreads();
    int place = first_place[digit] + before_part;
#pragma unroll
    for (int n = 0; n < warps_of_thread; ++n) {
      of_own_part[n][digit] = place;
      place += here[n];
    }
    __syncthreads();
    stretch.move(pass, of_own_warp);
    // All have moved, and none reads another's counts any more.
    cluster.sync();
  }
  stretch.name_rows();
}

template <int blocks>
void sort_tokens_on(const EmbeddingShape& shape, const std::int32_t* tokens, void* order,
                    void* workspace, cudaStream_t stream) {
  require_rows("sort_tokens", shape.tokens, shape.width);
  const int bits = static_cast<int>(std::bit_width(static_cast<unsigned>(shape.vocabulary - 1)));
  auto* const sorted = static_cast<OrderedToken*>(order);
  constexpr int of_step = blocks * threads;
  const Sort sort = {.tokens = tokens,
                     .count = shape.tokens,
                     .passes = std::max(1, (bits + digit_bits - 1) / digit_bits),
                     .steps = (shape.tokens + of_step - 1) / of_step,
                     .order = sorted,
                     .spare = static_cast<OrderedToken*>(workspace),
                     .named = reinterpret_cast<std::uint32_t*>(sorted + shape.tokens),
                     .named_words = named_words(shape)};
  launch_overlapped_cluster(sort_kernel<blocks>, {dim3(blocks), threads}, stream, sort);
}

}  // namespace

std::size_t sort_workspace_bytes(const EmbeddingShape& shape) {
  return aligned_bytes(sizeof(OrderedToken) * static_cast<std::size_t>(shape.tokens));
}

std::size_t token_order_bytes(const EmbeddingShape& shape) {
  return sizeof(OrderedToken) * static_cast<std::size_t>(shape.tokens) +
         sizeof(std::uint32_t) * static_cast<std::size_t>(named_words(shape));
}

// On as many multiprocessors as a cluster can have.
void sort_tokens(const EmbeddingShape& shape, const std::int32_t* tokens, void* order,
                 void* workspace, cudaStream_t stream) {
  sort_tokens_on<16>(shape, tokens, order, workspace, stream);
}

void sort_tokens_aside(const EmbeddingShape& shape, const std::int32_t* tokens, void* order,
                       void* workspace, cudaStream_t stream) {
  sort_tokens_on<blocks_aside>(shape, tokens, order, workspace, stream);
}

}  // namespace pairedhead::gpu
