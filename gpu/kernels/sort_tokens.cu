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
constexpr int threads = 512, warps = threads / warp_threads;
static_assert(digits <= threads);

struct Sort {
  const std::int32_t* tokens;
  int count, passes;
  std::int32_t *order, *spare;  // [count] each
  int* counts;                  // [blocks, digits]

  // Where a pass leaves the positions: the last one in `order`.
  __device__ std::int32_t* result(int pass) const {
    return (passes - 1 - pass) % 2 == 0 ? order : spare;
  }
  __device__ int position(int pass, int i) const { return pass == 0 ? i : result(pass - 1)[i]; }
  __device__ int digit(int pass, int position) const {
    return tokens[position] >> (pass * digit_bits) & (digits - 1);
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

__global__ void __launch_bounds__(threads) sort_kernel(Sort sort) {
  __shared__ int next[digits];             // where the block's next token of a digit goes
  __shared__ int of_warps[warps][digits];  // how many of a round are a warp's, then where they go
  __shared__ int sums[warps];
  const auto grid = cooperative_groups::this_grid();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / warp_threads, lane = thread % warp_threads;
  const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
  const int rounds = (sort.count + blocks * threads - 1) / (blocks * threads);
  const int begin = block * rounds * threads;
  const int end = min(begin + rounds * threads, sort.count);

  for (int pass = 0; pass < sort.passes; ++pass) {
    if (thread < digits) next[thread] = 0;
    __syncthreads();
    for (int i = begin + thread; i < end; i += threads) {
      atomicAdd(&next[sort.digit(pass, sort.position(pass, i))], 1);
    }
    __syncthreads();
    if (thread < digits) sort.counts[block * digits + thread] = next[thread];
    grid.sync();

    int before = 0, all = 0;
    if (thread < digits) {
#pragma unroll 8
      for (int other = 0; other < blocks; ++other) {
        const int count = sort.counts[other * digits + thread];
        before += other < block ? count : 0;
        all += count;
      }
    }
    const int smaller = sum_before(all, sums);
    if (thread < digits) next[thread] = smaller + before;

    for (int first = begin; first < end; first += threads) {
      for (int n = thread; n < warps * digits; n += threads) of_warps[n / digits][n % digits] = 0;
      __syncthreads();
      const int i = first + thread;
      const int position = i < end ? sort.position(pass, i) : 0;
      const int digit = i < end ? sort.digit(pass, position) : digits;
      const unsigned alike = __match_any_sync(0xffffffffu, digit);
      const int rank = __popc(alike & ((1u << lane) - 1));
      if (i < end && rank == 0) of_warps[warp][digit] = __popc(alike);
      __syncthreads();
      if (thread < digits) {
        int place = next[thread];
        for (auto& of_warp : of_warps) {
          const int count = of_warp[thread];
          of_warp[thread] = place;
          place += count;
        }
        next[thread] = place;
      }
      __syncthreads();
      if (i < end) sort.result(pass)[of_warps[warp][digit] + rank] = position;
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
  return sizeof(std::int32_t) *
         static_cast<std::size_t>(shape.tokens + most_blocks(shape) * digits);
}

void sort_tokens(const EmbeddingShape& shape, const std::int32_t* tokens, std::int32_t* order,
                 void* workspace, cudaStream_t stream) {
  require_rows("sort_tokens", shape.tokens, shape.width);
  const int bits = static_cast<int>(std::bit_width(static_cast<unsigned>(shape.vocabulary - 1)));
  auto* const spare = static_cast<std::int32_t*>(workspace);
  const Sort sort = {.tokens = tokens,
                     .count = shape.tokens,
                     .passes = std::max(1, (bits + digit_bits - 1) / digit_bits),
                     .order = order,
                     .spare = spare,
                     .counts = spare + shape.tokens};
  launch_together(sort_kernel, most_blocks(shape), threads, stream, sort);
}

}  // namespace pairedhead::gpu
