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
// So many threads share what there is to add up for a digit.
constexpr int threads_of_digit = threads / digits;
constexpr int warps_of_thread = warps / threads_of_digit;
constexpr int together = 6;  // tokens of a thread that it holds at once

// How many tokens a warp has of each digit, then where its next one of each goes.
using WarpsOfBlock = int[warps][digits];

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

// The sum of the numbers before this thread's, in the first `digits` threads; called by all.
__device__ int sum_before(int number, int* of_warps) {
  const int lane = lane_of_warp();
  const int warp = warp_of_block();
  constexpr int summing_warps = digits / warp_threads;
  int sum = number;  // up to this lane
  for (int step = 1; step < warp_threads; step *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, sum, step);
    if (lane >= step) sum += other;
  }
  if (lane == warp_threads - 1 && warp < summing_warps) of_warps[warp] = sum;
  __syncthreads();
#pragma unroll
  for (int before = 0; before < summing_warps; ++before) {
    sum += before < warp ? of_warps[before] : 0;
  }
  return sum - number;
}

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
  __shared__ int counts[digits];  // of the block's tokens
  __shared__ int next[digits];    // where the block's first token of a digit goes
  __shared__ int of_parts[threads_of_digit][digits];
  __shared__ DigitCount of_clusters[threads_of_digit][digits];
  __shared__ WarpsOfBlock of_warps;
  __shared__ int sums[digits / warp_threads];
  wait_for_kernel_before();
  let_next_kernel_start();
  const auto cluster = cooperative_groups::this_cluster();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = warp_of_block(), lane = lane_of_warp();
  const int block = static_cast<int>(cluster.block_rank());
  const int first = (block * warps + warp) * sort.steps * warp_threads + lane;
  const auto position = [&](int step) { return first + step * warp_threads; };
  const auto active = [&](int step) { return step < sort.steps && position(step) < sort.count; };

  for (int word = block * threads + thread; word < sort.named_words; word += blocks * threads) {
    sort.named[word] = 0;
  }
  for (int pass = 0; pass < sort.passes; ++pass) {
    int* const of_warp = of_warps[warp];
    for (int digit = lane; digit < digits; digit += warp_threads) of_warp[digit] = 0;
    __syncwarp();
    OrderedToken entries[together];
    const auto load = [&](int begun) {
#pragma unroll
      for (int n = 0; n < together; ++n) {
        if (active(begun + n)) entries[n] = sort.entry(pass, position(begun + n));
      }
    };
    for (int begun = 0; begun < sort.steps; begun += together) {
      load(begun);
#pragma unroll
      for (int n = 0; n < together; ++n) {
        if (active(begun + n)) atomicAdd(&of_warp[Sort::digit(pass, entries[n])], 1);
      }
    }
    __syncthreads();

    // A thread has a digit and a part of the warps.
    const int digit = thread % digits, part = thread / digits;
    int here[warps_of_thread], in_part = 0;
#pragma unroll
    for (int n = 0; n < warps_of_thread; ++n) {
      here[n] = of_warps[part * warps_of_thread + n][digit];
      in_part += here[n];
    }
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

    const DigitCount count = count_of_digit<blocks>(cluster, counts, of_clusters);
    const int smaller = sum_before(count.all, sums);
    if (part == 0) next[digit] = smaller + count.before;
    __syncthreads();
    int place_of_warp = next[digit] + before_part;
#pragma unroll
    for (int n = 0; n < warps_of_thread; ++n) {
      of_warps[part * warps_of_thread + n][digit] = place_of_warp;
      place_of_warp += here[n];
    }
    __syncthreads();

    for (int begun = 0; begun < sort.steps; begun += together) {
      if (sort.steps > together) load(begun);
#pragma unroll
      for (int n = 0; n < together; ++n) {
        if (begun + n >= sort.steps) break;
        const bool one = active(begun + n);
        const int own = one ? Sort::digit(pass, entries[n]) : digits;
        const unsigned alike = __match_any_sync(0xffffffffu, own);
        const int before = __popc(alike & ((1u << lane) - 1));
        const int place = one ? of_warp[own] + before : 0;
        __syncwarp();
        if (one && before == 0) of_warp[own] = place + __popc(alike);
        __syncwarp();
        if (one) sort.result(pass)[place] = entries[n];
      }
    }
    // All have moved, and none reads another's counts any more.
    cluster.sync();
  }
  // The first of equal tokens names their row: one for each, while in the text thousands would wait
  // for each other at the words of the frequent ones.
  for (int step = 0; step < sort.steps; ++step) {
    if (!active(step)) break;
    const int i = position(step), token = sort.order[i].token;
    if (i > 0 && sort.order[i - 1].token == token) continue;
    atomicOr(&sort.named[token / warp_threads], 1u << token % warp_threads);
  }
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
