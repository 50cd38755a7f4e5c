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
constexpr int most_steps = 3;  // a thread's share of a round
constexpr int none = -1;

struct Sort {
  const std::int32_t* tokens;
  int count, passes, rounds, steps;
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
  __shared__ int next[digits];    // where the block's next token of a digit goes
  __shared__ union {
    DigitCount parts[threads_of_digit][digits];
    int of_warps[warps][digits];  // how many of a round are a warp's, then where they go
  } shared;
  __shared__ int sums[digits / warp_threads];
  wait_for_kernel_before();
  let_next_kernel_start();
  const auto cluster = cooperative_groups::this_cluster();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = warp_of_block(), lane = lane_of_warp();
  const int block = static_cast<int>(cluster.block_rank());
  const int begin = min(block * sort.rounds * sort.steps * threads, sort.count);
  const int end = min(begin + sort.rounds * sort.steps * threads, sort.count);

  for (int word = block * threads + thread; word < sort.named_words; word += blocks * threads) {
    sort.named[word] = 0;
  }
  for (int pass = 0; pass < sort.passes; ++pass) {
    if (thread < digits) counts[thread] = 0;
    __syncthreads();
    for (int i = begin + thread; i < end; i += threads) {
      atomicAdd(&counts[Sort::digit(pass, sort.entry(pass, i))], 1);
    }
    cluster.sync();

    const DigitCount count = count_of_digit<blocks>(cluster, counts, shared.parts);
    const int smaller = sum_before(count.all, sums);
    if (thread < digits) next[thread] = smaller + count.before;

    // A round takes a stretch, each warp of it a part, 32 tokens a step.
    for (int first = begin; first < end; first += sort.steps * threads) {
      for (int n = thread; n < warps * digits; n += threads) {
        shared.of_warps[n / digits][n % digits] = 0;
      }
      __syncthreads();
      int* const of_warp = shared.of_warps[warp];
      const int first_of_warp = first + warp * sort.steps * warp_threads + lane;
      OrderedToken entries[most_steps];
      int ranks[most_steps];  // among the warp's of the digit
#pragma unroll
      for (int step = 0; step < most_steps; ++step) {
        ranks[step] = none;
        if (step >= sort.steps) continue;
        const int i = first_of_warp + step * warp_threads;
        const bool active = i < end;
        if (active) entries[step] = sort.entry(pass, i);
        const int digit = active ? Sort::digit(pass, entries[step]) : digits;
        const unsigned alike = __match_any_sync(0xffffffffu, digit);
        const int before = __popc(alike & ((1u << lane) - 1));
        ranks[step] = active ? of_warp[digit] + before : none;
        __syncwarp();
        if (active && before == 0) of_warp[digit] = ranks[step] + __popc(alike);
        __syncwarp();
      }
      __syncthreads();
      if (thread < digits) {
        int place = next[thread];
#pragma unroll
        for (auto& of_each : shared.of_warps) {
          const int here = of_each[thread];
          of_each[thread] = place;
          place += here;
        }
        next[thread] = place;
      }
      __syncthreads();
#pragma unroll
      for (int step = 0; step < most_steps; ++step) {
        if (ranks[step] == none) continue;
        const int place = of_warp[Sort::digit(pass, entries[step])] + ranks[step];
        sort.result(pass)[place] = entries[step];
      }
      __syncthreads();
    }
    // All have moved, and none reads another's counts any more.
    cluster.sync();
  }
  // The first of equal tokens names their row: one for each, while in the text thousands would wait
  // for each other at the words of the frequent ones.
  for (int i = begin + thread; i < end; i += threads) {
    const int token = sort.order[i].token;
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
  const int steps_in_all = (shape.tokens + of_step - 1) / of_step;
  const int rounds = (steps_in_all + most_steps - 1) / most_steps;
  const Sort sort = {.tokens = tokens,
                     .count = shape.tokens,
                     .passes = std::max(1, (bits + digit_bits - 1) / digit_bits),
                     .rounds = rounds,
                     .steps = (steps_in_all + rounds - 1) / rounds,
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
