#include "gpu/error.h"
#include "gpu/kernels/alignment.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"
#include "gpu/kernels/variance_reduction.h"

// Two passes, for a row's factor needs the sums of its whole matrix, with a short one between them
// that adds those up: else every block of the second would. The second begins with the rows that
// the first has read last: those are still in the L2 cache.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
constexpr int rows_of_block = threads_of_block / warp_threads;
constexpr float beta2 = 0.95f, least = 1e-10f;

// Blocks of rows of a matrix.
int blocks_of_matrix(const MatrixFamily& family) {
  return static_cast<int>((family.rows + rows_of_block - 1) / rows_of_block);
}

// Sums over rows, of the mean squares before they are scaled and after: N^2 / n, N'^2 / n.
struct MeanSquares {
  float before, after;
};

constexpr int sums_of_matrix = 2;  // the two that MeanSquares names, in its order

// What the passes leave for the next.
struct Measured {
  float* of_blocks;    // [matrices, sums_of_matrix, blocks of a matrix]
  float* of_matrices;  // [matrices, sums_of_matrix]
  float* inverse;      // [matrices, rows]: s
};

Measured measured_in(void* workspace, const MatrixFamily& family) {
  auto* const of_blocks = static_cast<float*>(workspace);
  const std::int64_t sums = family.matrices * sums_of_matrix;
  float* const of_matrices = of_blocks + sums * blocks_of_matrix(family);
  return {of_blocks, of_matrices, of_matrices + sums};
}

// The row of this warp in a block of those of all matrices.
struct Place {
  int matrix, block, row;

  __device__ Place(unsigned of_all, unsigned blocks)
      : matrix(static_cast<int>(of_all / blocks)),
        block(static_cast<int>(of_all % blocks)),
        row(block * rows_of_block + warp_of_block()) {}
};

// The channels that this lane has of a row's nth part.
__device__ __forceinline__ int column(int part) {
  return (part * warp_threads + lane_of_warp()) * channels_of_lane;
}

template <bool vectors>
__device__ float sum_of_squares(const __nv_bfloat16* row, int columns) {
  float sum = 0;
  for (int part = 0; column(part) < columns; ++part) {
    const Lane x = widen(load_chunk<vectors>(row, column(part), columns));
    sum += dot(x, x);
  }
  return warp_sum(sum);
}

// The mistake of SPEC §11.45: row i of the matrix read as if it lay transposed.
__device__ float sum_of_squares_transposed(const __nv_bfloat16* matrix, const MatrixFamily& family,
                                           std::int64_t row) {
  float sum = 0;
  for (std::int64_t j = lane_of_warp(); j < family.columns; j += warp_threads) {
    const float value = __bfloat162float(matrix[j * family.rows + row]);
    sum += value * value;
  }
  return warp_sum(sum);
}

template <bool vectors>
__global__ void __launch_bounds__(threads_of_block)
    measure_rows(MatrixFamily family, int blocks, const __nv_bfloat16* __restrict__ x,
                 float* __restrict__ second_moment, Measured to, KernelMutant mutant) {
  __shared__ MeanSquares of_rows[rows_of_block];
  let_next_kernel_start();
  const auto [matrix, block, row] = Place(blockIdx.x, static_cast<unsigned>(blocks));
  const int columns = static_cast<int>(family.columns);
  MeanSquares own = {};
  if (row < family.rows) {
    const __nv_bfloat16* const of_matrix = x + matrix * family.count_of_each();
    const std::int64_t at = matrix * family.rows + row;
    const float old = second_moment[at];  // on its way together with the row
    const float squares = planted(mutant, KernelMutant::variance_of_columns)
                              ? sum_of_squares_transposed(of_matrix, family, row)
                              : sum_of_squares<vectors>(of_matrix + row * family.columns, columns);
    if (lane_of_warp() == 0) {
      const float mean = squares / static_cast<float>(columns);
      const float updated = beta2 * old + (1 - beta2) * mean;
      const float used = planted(mutant, KernelMutant::variance_before_update) ? old : updated;
      const float inverse = 1 / sqrtf(fmaxf(used, least));
      second_moment[at] = updated;
      to.inverse[at] = inverse;
      own = {mean, mean * inverse * inverse};
    }
  }
  if (lane_of_warp() == 0) of_rows[warp_of_block()] = own;
  __syncthreads();
  if (threadIdx.x != 0) return;
  MeanSquares sum = {};
  for (const MeanSquares& of_row : of_rows) {
    sum.before += of_row.before;
    sum.after += of_row.after;
  }
  float* const of_matrix = to.of_blocks + matrix * sums_of_matrix * blocks;
  of_matrix[block] = sum.before;
  of_matrix[blocks + block] = sum.after;
}

// A row in the registers of a warp, as much of it as `kept` parts are.
template <bool vectors>
struct KeptRow {
  static constexpr int kept = 3;
  Chunk parts[kept];

  __device__ __forceinline__ KeptRow(const __nv_bfloat16* row, int columns) {
#pragma unroll
    for (int n = 0; n < kept; ++n) parts[n] = load_chunk<vectors>(row, column(n), columns);
  }

  // Writes the row times the factor; what is not kept is read here.
  __device__ __forceinline__ void store_scaled(__nv_bfloat16* row, int columns,
                                               float factor) const {
#pragma unroll
    for (int n = 0; n < kept; ++n) {
      store_chunk<vectors>(row, column(n), columns, narrow(scaled(widen(parts[n]), factor)));
    }
#pragma unroll 1
    for (int n = kept; column(n) < columns; ++n) {
      const Chunk part = load_chunk<vectors>(row, column(n), columns);
      store_chunk<vectors>(row, column(n), columns, narrow(scaled(widen(part), factor)));
    }
  }
};

template <bool vectors>
__global__ void __launch_bounds__(threads_of_block)
    scale_rows(MatrixFamily family, int blocks, Measured by, __nv_bfloat16* x) {
  const auto [matrix, block, row] =
      Place(gridDim.x - 1 - blockIdx.x, static_cast<unsigned>(blocks));
  const bool active = row < family.rows;
  const int columns = static_cast<int>(family.columns);
  __nv_bfloat16* const place = x + (matrix * family.rows + row) * family.columns;
  const KeptRow<vectors> kept(place, active ? columns : 0);

  wait_for_kernel_before();
  if (!active) return;
  const float* const sums = by.of_matrices + matrix * sums_of_matrix;
  const auto n = static_cast<float>(columns);
  const float rescale = sqrtf(n * sums[0]) / fmaxf(sqrtf(n * sums[1]), least);
  const float factor = by.inverse[matrix * family.rows + row] * rescale;
  // SPEC §6.1.5 rounds the factor: both operands of the product are bf16.
  kept.store_scaled(place, columns, __bfloat162float(__float2bfloat16_rn(factor)));
}

template <bool vectors>
void reduce(const MatrixFamily& family, __nv_bfloat16* x, float* second_moment, void* workspace,
            cudaStream_t stream) {
  const Measured measured = measured_in(workspace, family);
  const int blocks = blocks_of_matrix(family);
  const dim3 grid(static_cast<unsigned>(family.matrices * blocks));
  measure_rows<vectors><<<grid, threads_of_block, 0, stream>>>(family, blocks, x, second_moment,
                                                               measured, active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
  sum_partials(measured.of_blocks, blocks, static_cast<int>(family.matrices) * sums_of_matrix,
               measured.of_matrices, stream);
  launch_overlapped(scale_rows<vectors>, {grid, threads_of_block}, stream, family, blocks, measured,
                    x);
}

}  // namespace

std::size_t variance_workspace_bytes(const MatrixFamily& family) {
  const auto matrices = static_cast<std::size_t>(family.matrices);
  const auto blocks = static_cast<std::size_t>(blocks_of_matrix(family));
  const auto rows = static_cast<std::size_t>(family.rows);
  return matrices * (sums_of_matrix * (blocks + 1) + rows) * sizeof(float);
}

void variance_reduction(const MatrixFamily& family, __nv_bfloat16* direction, float* second_moment,
                        void* workspace, cudaStream_t stream) {
  check_family("variance_reduction", family);
  if (family.columns % channels_of_lane == 0 && aligned_to_16(direction)) {
    reduce<true>(family, direction, second_moment, workspace, stream);
  } else {
    reduce<false>(family, direction, second_moment, workspace, stream);
  }
}

}  // namespace pairedhead::gpu
