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
constexpr int rows_of_warp = 2;  // on their way together
constexpr int rows_of_block = warps_of_block * rows_of_warp;
constexpr float beta2 = 0.95f, least = 1e-10f;

// Blocks of rows of a matrix.
int blocks_of_matrix(const MatrixFamily& family) {
  return static_cast<int>((family.rows + rows_of_block - 1) / rows_of_block);
}

// Sums over rows, of the mean squares before they are scaled and after: N^2 / n, N'^2 / n.
struct MeanSquares {
  float before = 0, after = 0;

  __device__ void add(const MeanSquares& other) {
    before += other.before;
    after += other.after;
  }
};

// The channels that this lane has of a row's nth part.
__device__ __forceinline__ int column(int part) {
  return (part * warp_threads + lane_of_warp()) * channels_of_lane;
}

// A lane's share of a row's squares, whose first `kept` parts are on their way at once.
template <bool vectors>
class Row {
 public:
  __device__ __forceinline__ Row(const __nv_bfloat16* row, int columns)
      : row_(row), columns_(columns) {
#pragma unroll
    for (int n = 0; n < kept; ++n) parts_[n] = load_chunk<vectors>(row, column(n), columns);
  }

  __device__ __forceinline__ float squares() const {
    float sum = 0;
#pragma unroll
    for (const Chunk& part : parts_) sum += squares_of(part);
#pragma unroll 1
    for (int n = kept; column(n) < columns_; ++n) {
      sum += squares_of(load_chunk<vectors>(row_, column(n), columns_));
    }
    return sum;
  }

 private:
  static constexpr int kept = 3;  // 768 columns

  static __device__ __forceinline__ float squares_of(const Chunk& chunk) {
    const Lane x = widen(chunk);
    return dot(x, x);
  }

  const __nv_bfloat16* row_;
  int columns_;
  Chunk parts_[kept];
};

// The mistake of SPEC §11.45: row i of the matrix read as if it lay transposed.
__device__ float squares_of_transposed(const __nv_bfloat16* matrix, const MatrixFamily& family,
                                       int row) {
  float sum = 0;
  for (std::int64_t j = lane_of_warp(); j < family.columns; j += warp_threads) {
    const float value = __bfloat162float(matrix[j * family.rows + row]);
    sum += value * value;
  }
  return sum;
}

// The grid is [blocks of a matrix, matrices]; of_blocks [matrices, blocks of a matrix]. Leaves s
// where the factors will be.
template <bool vectors>
__global__ void __launch_bounds__(threads_of_block)
    measure_rows(MatrixFamily family, const __nv_bfloat16* __restrict__ x,
                 float* __restrict__ second_moment, float* __restrict__ inverse,
                 MeanSquares* __restrict__ of_blocks, KernelMutant mutant) {
  __shared__ MeanSquares of_warps[warps_of_block];
  let_next_kernel_start();
  const int matrix = static_cast<int>(blockIdx.y), block = static_cast<int>(blockIdx.x);
  const int first = block * rows_of_block + warp_of_block() * rows_of_warp;
  const int rows = static_cast<int>(family.rows), columns = static_cast<int>(family.columns);
  const __nv_bfloat16* const of_matrix = x + matrix * family.count_of_each();
  const std::int64_t at = matrix * family.rows + first;

  float squares[rows_of_warp], old[rows_of_warp];
  {
    const auto row = [&](int i) {
      return Row<vectors>(of_matrix + (first + i) * family.columns, first + i < rows ? columns : 0);
    };
    const Row<vectors> all[rows_of_warp] = {row(0), row(1)};
#pragma unroll
    for (int i = 0; i < rows_of_warp; ++i) {
      old[i] = first + i < rows ? second_moment[at + i] : 0;
      squares[i] = all[i].squares();
    }
  }
  MeanSquares own;
#pragma unroll
  for (int i = 0; i < rows_of_warp; ++i) {
    if (first + i >= rows) continue;
    if (planted(mutant, KernelMutant::variance_of_columns)) {
      squares[i] = squares_of_transposed(of_matrix, family, first + i);
    }
    const float mean = warp_sum(squares[i]) / static_cast<float>(columns);
    const float updated = beta2 * old[i] + (1 - beta2) * mean;
    const float used = planted(mutant, KernelMutant::variance_before_update) ? old[i] : updated;
    const float s = 1 / sqrtf(fmaxf(used, least));
    own.add({mean, mean * s * s});
    if (lane_of_warp() != 0) continue;
    second_moment[at + i] = updated;
    inverse[at + i] = s;
  }
  if (lane_of_warp() == 0) of_warps[warp_of_block()] = own;
  __syncthreads();
  if (threadIdx.x != 0) return;
  MeanSquares sum;
  for (const MeanSquares& of_warp : of_warps) sum.add(of_warp);
  of_blocks[matrix * static_cast<int>(gridDim.x) + block] = sum;
}

// A block a matrix.
__global__ void __launch_bounds__(threads_of_block)
    finish_factors(MatrixFamily family, int blocks, const MeanSquares* of_blocks, float* factor) {
  __shared__ float shared[warps_of_block];
  wait_for_kernel_before();
  const int matrix = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  MeanSquares sum;
  for (int n = thread; n < blocks; n += threads_of_block) sum.add(of_blocks[matrix * blocks + n]);
  const auto n = static_cast<float>(family.columns);
  const float before = block_sum<threads_of_block>(sum.before, shared);
  const float after = block_sum<threads_of_block>(sum.after, shared);
  const float rescale = sqrtf(n * before) / fmaxf(sqrtf(n * after), least);
  float* const of_matrix = factor + matrix * family.rows;
  for (std::int64_t row = thread; row < family.rows; row += threads_of_block) {
    // SPEC §6.1.5 rounds the factor: both operands of the product are bf16.
    of_matrix[row] = __bfloat162float(__float2bfloat16_rn(of_matrix[row] * rescale));
  }
}

}  // namespace

std::size_t variance_workspace_bytes(const MatrixFamily& family) {
  return static_cast<std::size_t>(family.matrices) *
         static_cast<std::size_t>(blocks_of_matrix(family)) * sizeof(MeanSquares);
}

void variance_reduction(const MatrixFamily& family, const __nv_bfloat16* direction,
                        float* second_moment, float* row_factor, void* workspace,
                        cudaStream_t stream) {
  check_family("variance_reduction", family);
  const bool vectors = family.columns % channels_of_lane == 0 && aligned_to_16(direction);
  const auto measure = vectors ? measure_rows<true> : measure_rows<false>;
  const auto matrices = static_cast<unsigned>(family.matrices);
  const int blocks = blocks_of_matrix(family);
  auto* const of_blocks = static_cast<MeanSquares*>(workspace);
  measure<<<dim3(static_cast<unsigned>(blocks), matrices), threads_of_block, 0, stream>>>(
      family, direction, second_moment, row_factor, of_blocks, active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
  launch_overlapped(finish_factors, {dim3(matrices), threads_of_block}, stream, family, blocks,
                    of_blocks, row_factor);
}

}  // namespace pairedhead::gpu
