#include "gpu/error.h"
#include "gpu/kernels/alignment.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"
#include "gpu/kernels/variance_reduction.h"

// A pass over the matrices, which measures their rows, and a short one over the rows, whose factors
// need the sums of their whole matrix.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
constexpr int warps_of_block = threads_of_block / warp_threads;
constexpr float beta2 = 0.95f, least = 1e-10f;

// Blocks that measure a matrix.
int measuring_blocks(const MatrixFamily& family) {
  return static_cast<int>((family.rows + warps_of_block - 1) / warps_of_block);
}

// Sums over rows, of the mean squares before they are scaled and after: N^2 / n, N'^2 / n.
struct MeanSquares {
  float before, after;

  __device__ void add(const MeanSquares& other) {
    before += other.before;
    after += other.after;
  }
};

// The sum over the warps of a block of what each knows, in every thread.
__device__ __forceinline__ MeanSquares sum_of_warps(const MeanSquares& of_warp) {
  __shared__ MeanSquares of_warps[warps_of_block];
  if (lane_of_warp() == 0) of_warps[warp_of_block()] = of_warp;
  __syncthreads();
  MeanSquares sum = {};
  for (const MeanSquares& one : of_warps) sum.add(one);
  return sum;
}

// The channels that this lane has of a row's nth part.
__device__ __forceinline__ int column(int part) {
  return (part * warp_threads + lane_of_warp()) * channels_of_lane;
}

template <bool vectors>
__device__ __forceinline__ float sum_of_squares(const __nv_bfloat16* row, int columns) {
  constexpr int together = 3;  // parts on their way at once: the record's 768 columns
  float sum = 0;
  for (int first = 0; column(first) < columns; first += together) {
    Chunk parts[together];
#pragma unroll
    for (int n = 0; n < together; ++n) {
      parts[n] = load_chunk<vectors>(row, column(first + n), columns);
    }
#pragma unroll
    for (const Chunk& part : parts) {
      const Lane x = widen(part);
      sum += dot(x, x);
    }
  }
  return warp_sum(sum);
}

// The mistake of SPEC §11.45: row i of the matrix read as if it lay transposed.
__device__ float sum_of_squares_transposed(const __nv_bfloat16* matrix, const MatrixFamily& family,
                                           int row) {
  float sum = 0;
  for (std::int64_t j = lane_of_warp(); j < family.columns; j += warp_threads) {
    const float value = __bfloat162float(matrix[j * family.rows + row]);
    sum += value * value;
  }
  return warp_sum(sum);
}

// A warp a row; the grid is [blocks of a matrix, matrices], as of_blocks. Leaves s where the
// factors will be.
template <bool vectors>
__global__ void __launch_bounds__(threads_of_block)
    measure_rows(MatrixFamily family, const __nv_bfloat16* __restrict__ x,
                 float* __restrict__ second_moment, float* __restrict__ inverse,
                 MeanSquares* __restrict__ of_blocks, KernelMutant mutant) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const int matrix = static_cast<int>(blockIdx.y), block = static_cast<int>(blockIdx.x);
  const int row = block * warps_of_block + warp_of_block();
  const int columns = static_cast<int>(family.columns);
  MeanSquares own = {};
  if (row < family.rows) {
    const __nv_bfloat16* const of_matrix = x + matrix * family.count_of_each();
    const std::int64_t at = matrix * family.rows + row;
    const float old = second_moment[at];  // on its way together with the row
    const float squares = planted(mutant, KernelMutant::variance_of_columns)
                              ? sum_of_squares_transposed(of_matrix, family, row)
                              : sum_of_squares<vectors>(of_matrix + row * family.columns, columns);
    const float mean = squares / static_cast<float>(columns);
    const float updated = beta2 * old + (1 - beta2) * mean;
    const float used = planted(mutant, KernelMutant::variance_before_update) ? old : updated;
    const float s = 1 / sqrtf(fmaxf(used, least));
    own = {mean, mean * s * s};
    if (lane_of_warp() == 0) {
      second_moment[at] = updated;
      inverse[at] = s;
    }
  }
  const MeanSquares sum = sum_of_warps(own);
  if (threadIdx.x == 0) of_blocks[matrix * static_cast<int>(gridDim.x) + block] = sum;
}

// A thread a row; the grid is [blocks of rows, matrices].
__global__ void __launch_bounds__(threads_of_block)
    finish_factors(MatrixFamily family, int measuring, const MeanSquares* __restrict__ of_blocks,
                   float* factor) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const int matrix = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const int row = static_cast<int>(blockIdx.x) * threads_of_block + thread;
  float* const place = factor + matrix * family.rows + row;
  const float inverse = row < family.rows ? *place : 0;
  MeanSquares sum = {};
  for (int n = thread; n < measuring; n += threads_of_block) {
    sum.add(of_blocks[matrix * measuring + n]);
  }
  sum = sum_of_warps({warp_sum(sum.before), warp_sum(sum.after)});
  const auto n = static_cast<float>(family.columns);
  const float rescale = sqrtf(n * sum.before) / fmaxf(sqrtf(n * sum.after), least);
  // SPEC §6.1.5 rounds the factor: both operands of the product are bf16.
  const __nv_bfloat16 rounded = __float2bfloat16_rn(inverse * rescale);
  if (row < family.rows) *place = __bfloat162float(rounded);
}

}  // namespace

std::size_t variance_workspace_bytes(const MatrixFamily& family) {
  return static_cast<std::size_t>(family.matrices) *
         static_cast<std::size_t>(measuring_blocks(family)) * sizeof(MeanSquares);
}

void variance_reduction(const MatrixFamily& family, const __nv_bfloat16* direction,
                        float* second_moment, float* row_factor, void* workspace,
                        cudaStream_t stream) {
  check_family("variance_reduction", family);
  const bool vectors = family.columns % channels_of_lane == 0 && aligned_to_16(direction);
  const auto measure = vectors ? measure_rows<true> : measure_rows<false>;
  const auto matrices = static_cast<unsigned>(family.matrices);
  const int measuring = measuring_blocks(family);
  const auto finishing =
      static_cast<unsigned>((family.rows + threads_of_block - 1) / threads_of_block);
  auto* const of_blocks = static_cast<MeanSquares*>(workspace);
  launch_overlapped(measure, {dim3(static_cast<unsigned>(measuring), matrices), threads_of_block},
                    stream, family, direction, second_moment, row_factor, of_blocks,
                    active_kernel_mutant());
  launch_overlapped(finish_factors, {dim3(finishing, matrices), threads_of_block}, stream, family,
                    measuring, of_blocks, row_factor);
}

}  // namespace pairedhead::gpu
