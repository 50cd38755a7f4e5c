#include "gpu/kernels/elementwise.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"
#include "gpu/kernels/variance_reduction.h"

// Three passes, for a row's factor needs the sums of its whole matrix: the rows (a warp each), the
// matrices (a block each), the elements.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
constexpr int rows_of_block = threads_of_block / warp_threads;
constexpr float beta2 = 0.95f, least = 1e-10f;

// What the first pass leaves for the others.
struct RowStatistics {
  float *mean, *inverse;  // [matrices, rows]: m and s
  float* rescale;         // [matrices]: N / N'
};

RowStatistics statistics_in(void* workspace, const MatrixFamily& family) {
  const std::int64_t rows = family.matrices * family.rows;
  float* const begin = static_cast<float*>(workspace);
  return {begin, begin + rows, begin + 2 * rows};
}

template <int width>
__device__ float sum_of_squares(const __nv_bfloat16* row, std::int64_t columns, int lane) {
  float sum = 0;
  for (std::int64_t at = lane * width; at < columns; at += warp_threads * width) {
    const auto x = load_pack<width>(row + at);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const float value = __bfloat162float(x[i]);
      sum += value * value;
    }
  }
  return warp_sum(sum);
}

// The mistake of SPEC §11.45: row i of the matrix read as if it lay transposed.
__device__ float sum_of_squares_transposed(const __nv_bfloat16* matrix, const MatrixFamily& family,
                                           std::int64_t row, int lane) {
  float sum = 0;
  for (std::int64_t j = lane; j < family.columns; j += warp_threads) {
    const float value = __bfloat162float(matrix[j * family.rows + row]);
    sum += value * value;
  }
  return warp_sum(sum);
}

template <int width>
__global__ void __launch_bounds__(threads_of_block)
    measure_rows(MatrixFamily family, const __nv_bfloat16* __restrict__ x,
                 float* __restrict__ second_moment, RowStatistics to, KernelMutant mutant) {
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * rows_of_block + threadIdx.x / warp_threads;
  if (row >= family.matrices * family.rows) return;
  const float squares =
      planted(mutant, KernelMutant::variance_of_columns)
          ? sum_of_squares_transposed(x + row / family.rows * family.count_of_each(), family,
                                      row % family.rows, lane)
          : sum_of_squares<width>(x + row * family.columns, family.columns, lane);
  if (lane != 0) return;
  const float mean = squares / static_cast<float>(family.columns);
  const float old = second_moment[row];
  const float updated = beta2 * old + (1 - beta2) * mean;
  const float used = planted(mutant, KernelMutant::variance_before_update) ? old : updated;
  second_moment[row] = updated;
  to.mean[row] = mean;
  to.inverse[row] = 1 / sqrtf(fmaxf(used, least));
}

__global__ void __launch_bounds__(threads_of_block)
    measure_matrices(MatrixFamily family, RowStatistics at) {
  __shared__ float shared[rows_of_block];
  const std::int64_t first = blockIdx.x * family.rows;
  float before = 0, after = 0;  // N^2 / n, N'^2 / n
  for (std::int64_t row = first + threadIdx.x; row < first + family.rows; row += threads_of_block) {
    before += at.mean[row];
    after += at.mean[row] * at.inverse[row] * at.inverse[row];
  }
  before = block_sum<threads_of_block>(before, shared);
  after = block_sum<threads_of_block>(after, shared);
  if (threadIdx.x != 0) return;
  const auto columns = static_cast<float>(family.columns);
  at.rescale[blockIdx.x] = sqrtf(columns * before) / fmaxf(sqrtf(columns * after), least);
}

template <int width>
__global__ void __launch_bounds__(threads_of_block)
    scale_rows(MatrixFamily family, RowStatistics by, __nv_bfloat16* __restrict__ x) {
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * rows_of_block + threadIdx.x / warp_threads;
  if (row >= family.matrices * family.rows) return;
  // SPEC §6.1.5 rounds the factor: both operands of the product are bf16.
  const float factor =
      __bfloat162float(__float2bfloat16_rn(by.inverse[row] * by.rescale[row / family.rows]));
  for (std::int64_t at = lane * width; at < family.columns; at += warp_threads * width) {
    __nv_bfloat16* const place = x + row * family.columns + at;
    auto values = load_pack<width>(place);
#pragma unroll
    for (int i = 0; i < width; ++i) store(&values[i], __bfloat162float(values[i]) * factor);
    store_pack(place, values);
  }
}

template <int width>
void reduce(const MatrixFamily& family, __nv_bfloat16* x, float* second_moment, void* workspace,
            cudaStream_t stream) {
  const RowStatistics statistics = statistics_in(workspace, family);
  const std::int64_t rows = family.matrices * family.rows;
  const auto blocks = static_cast<unsigned>((rows + rows_of_block - 1) / rows_of_block);
  measure_rows<width><<<blocks, threads_of_block, 0, stream>>>(family, x, second_moment, statistics,
                                                               active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
  measure_matrices<<<static_cast<unsigned>(family.matrices), threads_of_block, 0, stream>>>(
      family, statistics);
  CUDA_CHECK(cudaGetLastError());
  scale_rows<width><<<blocks, threads_of_block, 0, stream>>>(family, statistics, x);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

std::size_t variance_workspace_bytes(const MatrixFamily& family) {
  const std::int64_t floats = family.matrices * (2 * family.rows + 1);
  return static_cast<std::size_t>(floats) * sizeof(float);
}

void variance_reduction(const MatrixFamily& family, __nv_bfloat16* direction, float* second_moment,
                        void* workspace, cudaStream_t stream) {
  check_family("variance_reduction", family);
  if (family.columns % pack_width == 0 && aligned_to_16(direction)) {
    reduce<pack_width>(family, direction, second_moment, workspace, stream);
  } else {
    reduce<1>(family, direction, second_moment, workspace, stream);
  }
}

}  // namespace pairedhead::gpu
