#include <cooperative_groups.h>

#include <bit>

#include "gpu/kernels/embedding.h"
#include "gpu/kernels/embedding_workspace.h"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/row.cuh"

// A stable radix sort of a few ten thousand tokens: so few that the launches of a general sort
// would take longer than the sorting. Blocks that run together own a stretch of the positions each;
// digit by digit, the lowest first, they count, wait for each other, and move.

namespace pairedhead::gpu {
namespace {

constexpr int digit_bits = 8, digits = 1 << digit_bits;
constexpr int threads = 1024, warps = threads / warp_threads;
// So many threads share what there is to add up for a digit.
constexpr int threads_of_digit = threads / digits;

struct Sort {
  const std::int32_t* tokens;
  int count, passes;
  OrderedToken *order, *spare;  // [count] each
  int* counts;                  // [blocks, digits]
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

// The sum of the numbers before this thread's, of the first `digits` threads; called by all.
__device__ int sum_before(int number, int* of_warps) {
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  const int warp = static_cast<int>(threadIdx.x) / warp_threads;
  int sum = number;  // up to this lane
  for (int step = 1; step < warp_threads; step *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, sum, step);
    if (lane >= step) sum += other;
  }
  if (lane == warp_threads - 1) of_warps[warp] = sum;
  __syncthreads();
  for (int before = 0; before < warp; ++before) sum += of_warps[before];
  return sum - number;
}

// How many tokens have a digit: in the blocks before this one, and in all.
struct DigitCount {
  int before, all;
};

// Of digit threadIdx.x, in the first `digits` threads; called by all. parts: shared memory.
__device__ DigitCount count_of_digit(const int* counts, int blocks, int block,
                                     DigitCount (*parts)[digits]) {
  const int thread = static_cast<int>(threadIdx.x);
  const int digit = thread % digits, part = thread / digits;
  constexpr int together = 8;
  DigitCount sum{};
  for (int first = part; first < blocks; first += together * threads_of_digit) {
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int other = first + i * threads_of_digit;
      const int count = other < blocks ? counts[other * digits + digit] : 0;
      sum.before += other < block ? count : 0;
      sum.all += count;
    }
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

__global__ void __launch_bounds__(threads) sort_kernel(Sort sort) {
  __shared__ int next[digits];  // where the block's next token of a digit goes
  __shared__ union {
    DigitCount parts[threads_of_digit][digits];
    int of_warps[warps][digits];  // how many of a round are a warp's, then where they go
  } shared;
  __shared__ int sums[warps];
  const auto grid = cooperative_groups::this_grid();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / warp_threads, lane = thread % warp_threads;
  const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
  const int rounds = (sort.count + blocks * threads - 1) / (blocks * threads);
  const int begin = block * rounds * threads;
  const int end = min(begin + rounds * threads, sort.count);

  for (int word = block * threads + thread; word < sort.named_words; word += blocks * threads) {
    sort.named[word] = 0;
  }
  for (int pass = 0; pass < sort.passes; ++pass) {
    if (thread < digits) next[thread] = 0;
    __syncthreads();
    for (int i = begin + thread; i < end; i += threads) {
      atomicAdd(&next[Sort::digit(pass, sort.entry(pass, i))], 1);
    }
    __syncthreads();
    if (thread < digits) sort.counts[block * digits + thread] = next[thread];
    grid.sync();

    const DigitCount count = count_of_digit(sort.counts, blocks, block, shared.parts);
    const int smaller = sum_before(count.all, sums);
    if (thread < digits) next[thread] = smaller + count.before;

    for (int first = begin; first < end; first += threads) {
      for (int n = thread; n < warps * digits; n += threads) {
        shared.of_warps[n / digits][n % digits] = 0;
      }
      __syncthreads();
      const int i = first + thread;
      const OrderedToken entry = i < end ? sort.entry(pass, i) : OrderedToken{};
      const int digit = i < end ? Sort::digit(pass, entry) : digits;
      const unsigned alike = __match_any_sync(0xffffffffu, digit);
      const int rank = __popc(alike & ((1u << lane) - 1));
      if (i < end && rank == 0) shared.of_warps[warp][digit] = __popc(alike);
      __syncthreads();
      if (thread < digits) {
        int place = next[thread];
#pragma unroll
        for (auto& of_warp : shared.of_warps) {
          const int here = of_warp[thread];
          of_warp[thread] = place;
          place += here;
        }
        next[thread] = place;
      }
      __syncthreads();
      if (i < end) {
        sort.result(pass)[shared.of_warps[warp][digit] + rank] = entry;
        if (pass == 0) {
          atomicOr(&sort.named[entry.token / warp_threads], 1u << entry.token % warp_threads);
        }
      }
      __syncthreads();
    }
    if (pass + 1 < sort.passes) grid.sync();
  }
}

std::int64_t most_blocks(const EmbeddingShape& shape) {
  return (shape.tokens + threads - 1) / threads;
}

}  // namespace

std::size_t sort_workspace_bytes(const EmbeddingShape& shape) {
  return sizeof(OrderedToken) * static_cast<std::size_t>(shape.tokens) +
         sizeof(int) * static_cast<std::size_t>(most_blocks(shape) * digits);
}

std::size_t token_order_bytes(const EmbeddingShape& shape) {
  return sizeof(OrderedToken) * static_cast<std::size_t>(shape.tokens) +
         sizeof(std::uint32_t) * static_cast<std::size_t>(named_words(shape));
}

void sort_tokens(const EmbeddingShape& shape, const std::int32_t* tokens, void* order,
                 void* workspace, cudaStream_t stream) {
  require_rows("sort_tokens", shape.tokens, shape.width);
  const int bits = static_cast<int>(std::bit_width(static_cast<unsigned>(shape.vocabulary - 1)));
  auto* const sorted = static_cast<OrderedToken*>(order);
  auto* const spare = static_cast<OrderedToken*>(workspace);
  const Sort sort = {.tokens = tokens,
                     .count = shape.tokens,
                     .passes = std::max(1, (bits + digit_bits - 1) / digit_bits),
                     .order = sorted,
                     .spare = spare,
                     .counts = reinterpret_cast<int*>(spare + shape.tokens),
                     .named = reinterpret_cast<std::uint32_t*>(sorted + shape.tokens),
                     .named_words = named_words(shape)};
  launch_together(sort_kernel, most_blocks(shape), threads, stream, sort);
}

}  // namespace pairedhead::gpu
