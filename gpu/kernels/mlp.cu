#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/mlp.h"
#include "gpu/kernels/mutant.h"

// The products round their results to bf16, as SPEC §3.10 has it, the first through a ReLU: p
// itself is never stored. Each direction then takes one pass over the hidden channels.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;

__device__ __forceinline__ Lane product(const Lane& a, const Lane& b) {
  Lane result;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    result.pair[i] = {a.pair[i].x * b.pair[i].x, a.pair[i].y * b.pair[i].y};
  }
  return result;
}

__global__ void __launch_bounds__(threads_of_block)
    square(const __nv_bfloat16* __restrict__ positive, std::int64_t chunks,
           __nv_bfloat16* __restrict__ squared) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * threads_of_block + threadIdx.x;
  if (n >= chunks) return;
  const std::int64_t at = n * channels_of_lane;
  const Lane root = widen(load_constant(positive + at));
  store(squared + at, narrow(product(root, root)));
}

// grad: dh in, dp = 2 max(p, 0) dh out.
__global__ void __launch_bounds__(threads_of_block)
    square_backward(const __nv_bfloat16* __restrict__ positive, std::int64_t chunks,
                    __nv_bfloat16* grad, __nv_bfloat16* __restrict__ squared, KernelMutant mutant) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * threads_of_block + threadIdx.x;
  if (n >= chunks) return;
  const std::int64_t at = n * channels_of_lane;
  const Lane root = widen(load_constant(positive + at));
  const float slope = planted(mutant, KernelMutant::relu_slope_halved) ? 1.0f : 2.0f;
  const Lane gradient = scaled(product(root, widen(load(grad + at))), slope);
  store(grad + at, narrow(gradient));
  store(squared + at, narrow(product(root, root)));
}

struct Grid {
  std::int64_t chunks;
  unsigned blocks;
};

Grid grid_over(const MlpShape& shape) {
  const auto require = [](bool holds, const char* what, std::int64_t got) {
    if (!holds) {
      throw std::invalid_argument("mlp: expected " + std::string(what) + ", got " +
                                  std::to_string(got));
    }
  };
  require(shape.tokens >= 1, "at least one token", shape.tokens);
  require(shape.width >= 1, "at least one channel", shape.width);
  require(shape.hidden >= 1 && shape.hidden % channels_of_lane == 0,
          "hidden channels in a multiple of 8", shape.hidden);
  const std::int64_t chunks = shape.tokens * shape.hidden / channels_of_lane;
  return {chunks, static_cast<unsigned>((chunks + threads_of_block - 1) / threads_of_block)};
}

}  // namespace

void mlp_forward(LinearAlgebra& algebra, const MlpShape& shape, const __nv_bfloat16* a,
                 const __nv_bfloat16* c_fc, const __nv_bfloat16* c_proj,
                 const __nv_bfloat16* residual, __nv_bfloat16* out, __nv_bfloat16* positive,
                 __nv_bfloat16* squared, cudaStream_t stream) {
  const auto [chunks, blocks] = grid_over(shape);
  const bool lost = planted(active_kernel_mutant(), KernelMutant::mlp_residual_lost);
  algebra.multiply({.rows = shape.tokens,
                    .columns = shape.hidden,
                    .depth = shape.width,
                    .transpose_b = true,
                    .relu = true},
                   a, c_fc, nullptr, positive, stream);
  square<<<blocks, threads_of_block, 0, stream>>>(positive, chunks, squared);
  CUDA_CHECK(cudaGetLastError());
  algebra.multiply({.rows = shape.tokens,
                    .columns = shape.width,
                    .depth = shape.hidden,
                    .transpose_b = planted(active_kernel_mutant(), KernelMutant::c_proj_transposed),
                    .beta = residual != nullptr && !lost ? 1.0f : 0.0f},
                   squared, c_proj, residual, out, stream);
}

void mlp_backward(LinearAlgebra& algebra, const MlpShape& shape, const __nv_bfloat16* a,
                  const __nv_bfloat16* c_fc, const __nv_bfloat16* c_proj,
                  const __nv_bfloat16* grad_out, const __nv_bfloat16* positive,
                  __nv_bfloat16* squared, __nv_bfloat16* hidden_gradient, __nv_bfloat16* grad_a,
                  __nv_bfloat16* grad_c_fc, __nv_bfloat16* grad_c_proj, cudaStream_t stream) {
  const auto [chunks, blocks] = grid_over(shape);
  algebra.multiply(
      {.rows = shape.tokens, .columns = shape.hidden, .depth = shape.width, .transpose_b = true},
      grad_out, c_proj, nullptr, hidden_gradient, stream);
  square_backward<<<blocks, threads_of_block, 0, stream>>>(positive, chunks, hidden_gradient,
                                                           squared, active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
  algebra.multiply(
      {.rows = shape.hidden, .columns = shape.width, .depth = shape.tokens, .transpose_a = true},
      squared, grad_out, nullptr, grad_c_proj, stream);
  linear_backward(algebra, shape.tokens, shape.width, shape.hidden, a, c_fc, hidden_gradient,
                  grad_a, grad_c_fc, stream);
}

}  // namespace pairedhead::gpu
