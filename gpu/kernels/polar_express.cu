#include <algorithm>
#include <array>
#include <utility>

#include "gpu/kernels/elementwise.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/polar_express.h"
#include "gpu/kernels/reduce.cuh"

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
constexpr std::int64_t elements_of_block = threads_of_block * pack_width * 8;

std::int64_t blocks_of_each(const MatrixFamily& family) {
  return (family.count_of_each() + elements_of_block - 1) / elements_of_block;
}

// The elements of one matrix that a block owns: all threads, one pack after the other.
struct Share {
  std::int64_t begin, end;
};
__device__ __forceinline__ Share share(const MatrixFamily& family) {
  const std::int64_t begin = blockIdx.x * elements_of_block;
  const std::int64_t end = begin + elements_of_block;
  return {begin, end < family.count_of_each() ? end : family.count_of_each()};
}

// partials: [matrices, blocks of each].
template <int width>
__global__ void __launch_bounds__(threads_of_block)
    sum_squares(MatrixFamily family, const __nv_bfloat16* __restrict__ direction,
                float* __restrict__ partials) {
  __shared__ float shared[threads_of_block / warp_threads];
  const __nv_bfloat16* const matrix = direction + blockIdx.y * family.count_of_each();
  const Share mine = share(family);
  float sum = 0;
  for (std::int64_t at = mine.begin + threadIdx.x * width; at < mine.end;
       at += threads_of_block * width) {
    const auto values = load_pack<width>(matrix + at);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const float value = __bfloat162float(values[i]);
      sum += value * value;
    }
  }
  sum = block_sum<threads_of_block>(sum, shared);
  if (threadIdx.x == 0) partials[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

template <int width>
__global__ void __launch_bounds__(threads_of_block)
    divide(MatrixFamily family, const __nv_bfloat16* direction, const float* __restrict__ partials,
           __nv_bfloat16* x, KernelMutant mutant) {
  __shared__ float shared[threads_of_block / warp_threads];
  float squares = 0;
  for (unsigned block = threadIdx.x; block < gridDim.x; block += threads_of_block) {
    squares += partials[blockIdx.y * gridDim.x + block];
  }
  squares = block_sum<threads_of_block>(squares, shared);
  const float safety = planted(mutant, KernelMutant::polar_without_safety) ? 1.0f : 1.02f;
  const float divisor = sqrtf(squares) * safety + 1e-6f;

  const std::int64_t matrix = blockIdx.y * family.count_of_each();
  const Share mine = share(family);
  for (std::int64_t at = mine.begin + threadIdx.x * width; at < mine.end;
       at += threads_of_block * width) {
    auto values = load_pack<width>(direction + matrix + at);
#pragma unroll
    for (int i = 0; i < width; ++i) store(&values[i], __bfloat162float(values[i]) / divisor);
    store_pack(x + matrix + at, values);
  }
}

template <int width>
void normalise(const MatrixFamily& family, const __nv_bfloat16* direction, __nv_bfloat16* x,
               float* partials, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(blocks_of_each(family)),
                    static_cast<unsigned>(family.matrices));
  sum_squares<width><<<blocks, threads_of_block, 0, stream>>>(family, direction, partials);
  CUDA_CHECK(cudaGetLastError());
  divide<width><<<blocks, threads_of_block, 0, stream>>>(family, direction, partials, x,
                                                         active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
}

// A and B are [m, m], m the lesser of rows and columns.
std::int64_t gram_count(const MatrixFamily& family) {
  const std::int64_t m = std::min(family.rows, family.columns);
  return family.matrices * m * m;
}

}  // namespace

std::size_t polar_workspace_bytes(const MatrixFamily& family) {
  const std::size_t of_products =
      2 * static_cast<std::size_t>(gram_count(family)) * sizeof(__nv_bfloat16);
  const std::size_t of_partials =
      static_cast<std::size_t>(family.matrices * blocks_of_each(family)) * sizeof(float);
  return std::max(of_products, of_partials);
}

void polar_normalise(const MatrixFamily& family, const __nv_bfloat16* direction, __nv_bfloat16* x,
                     void* workspace, cudaStream_t stream) {
  check_family("polar_normalise", family);
  float* const partials = static_cast<float*>(workspace);
  if (family.count_of_each() % pack_width == 0 && aligned_to_16(direction, x)) {
    normalise<pack_width>(family, direction, x, partials, stream);
  } else {
    normalise<1>(family, direction, x, partials, stream);
  }
}

std::span<const PolarCoefficients, 5> polar_coefficients() {
  static constexpr std::array<PolarCoefficients, 5> coefficients = {
      {{8.156554524902461f, -22.48329292557795f, 15.878769915207462f},
       {4.042929935166739f, -2.808917465908714f, 0.5000178451051316f},
       {3.8916678022926607f, -2.772484153217685f, 0.5060648178503393f},
       {3.285753657755655f, -2.3681294933425376f, 0.46449024233003106f},
       {2.3465413258596377f, -1.7097828382687081f, 0.42323551169305323f}}};
  return coefficients;
}

// The products of a batch see the same order of terms in (i, j) and (j, i), so A and B come out
// symmetric bit for bit without being mirrored.
void polar_iteration(LinearAlgebra& algebra, const MatrixFamily& family,
                     const PolarCoefficients& coefficients, const __nv_bfloat16* x,
                     __nv_bfloat16* result, void* workspace, cudaStream_t stream) {
  check_family("polar_iteration", family);
  auto [a, b, c] = coefficients;
  if (planted(active_kernel_mutant(), KernelMutant::polar_coefficients_exchanged)) std::swap(b, c);
  const bool tall = family.rows > family.columns;
  const std::int64_t m = std::min(family.rows, family.columns);
  const std::int64_t n = std::max(family.rows, family.columns);
  auto* const first = static_cast<__nv_bfloat16*>(workspace);
  __nv_bfloat16* const second = first + gram_count(family);

  algebra.multiply({.rows = m,
                    .columns = m,
                    .depth = n,
                    .transpose_a = tall,
                    .transpose_b = !tall,
                    .batch = family.matrices,
                    .planned_batch = family.matrices_of_whole,
                    .batch_a = m * n,
                    .batch_b = m * n,
                    .batch_result = m * m},
                   x, x, nullptr, first, stream);
  algebra.multiply({.rows = m,
                    .columns = m,
                    .depth = m,
                    .alpha = c,
                    .beta = b,
                    .batch = family.matrices,
                    .planned_batch = family.matrices_of_whole,
                    .batch_a = m * m,
                    .batch_b = m * m,
                    .batch_result = m * m},
                   first, first, first, second, stream);
  algebra.multiply({.rows = family.rows,
                    .columns = family.columns,
                    .depth = m,
                    .beta = a,
                    .batch = family.matrices,
                    .planned_batch = family.matrices_of_whole,
                    .batch_a = tall ? m * n : m * m,
                    .batch_b = tall ? m * m : m * n,
                    .batch_result = m * n},
                   tall ? x : second, tall ? second : x, x, result, stream);
}

void polar_express(LinearAlgebra& algebra, const MatrixFamily& family, __nv_bfloat16* direction,
                   __nv_bfloat16* orthogonal, void* workspace, cudaStream_t stream) {
  polar_normalise(family, direction, direction, workspace, stream);
  __nv_bfloat16 *from = direction, *to = orthogonal;
  for (const PolarCoefficients& coefficients : polar_coefficients()) {
    if (planted(active_kernel_mutant(), KernelMutant::polar_four_iterations) &&
        &coefficients == &polar_coefficients().back()) {
      CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(family.count()) * sizeof *to,
                                 cudaMemcpyDeviceToDevice, stream));
      break;
    }
    polar_iteration(algebra, family, coefficients, from, to, workspace, stream);
    std::swap(from, to);
  }
}

}  // namespace pairedhead::gpu
