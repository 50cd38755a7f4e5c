#include <algorithm>
#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/linear.h"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
// Of a kernel that reduces: as many as run at once on an H100, so that each adds up several chunks,
// and the same number on any GPU, so that the order is the same.
constexpr int most_partials = 528;

__global__ void __launch_bounds__(threads_of_block)
    scale(const __nv_bfloat16* __restrict__ w, const float* __restrict__ lambda,
          std::int64_t chunks, __nv_bfloat16* __restrict__ scaled_w) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * threads_of_block + threadIdx.x;
  if (n >= chunks) return;
  const std::int64_t at = n * channels_of_lane;
  store(scaled_w + at, narrow(scaled(widen(load_constant(w + at)), *lambda)));
}

// Multiplies the gradient by lambda in place; partials[block] = this block's share of <dW', w>.
__global__ void __launch_bounds__(threads_of_block)
    scale_backward(const __nv_bfloat16* __restrict__ w, const float* __restrict__ lambda,
                   std::int64_t chunks, __nv_bfloat16* grad, float* __restrict__ partials,
                   KernelMutant mutant) {
  __shared__ float shared[threads_of_block / warp_threads];
  let_next_kernel_start();
  const float factor = *lambda;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads_of_block;
  float sum = 0;
  for (std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * threads_of_block + threadIdx.x;
       n < chunks; n += step) {
    const std::int64_t at = n * channels_of_lane;
    const Lane gradient = widen(load(grad + at));
    const Lane scaled_gradient = scaled(gradient, factor);
    const bool of_scaled = planted(mutant, KernelMutant::lambda_gradient_scaled);
    sum += dot(of_scaled ? scaled_gradient : gradient, widen(load_constant(w + at)));
    store(grad + at, narrow(scaled_gradient));
  }
  sum = block_sum<threads_of_block>(sum, shared);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Blocks of one chunk a thread.
std::int64_t blocks_of(std::int64_t count) {
  if (count < channels_of_lane || count % channels_of_lane != 0) {
    throw std::invalid_argument("scale_weight: expected a multiple of 8 elements, got " +
                                std::to_string(count));
  }
  const std::int64_t chunks = count / channels_of_lane;
  return (chunks + threads_of_block - 1) / threads_of_block;
}

}  // namespace

std::size_t reduction_workspace_bytes() { return most_partials * sizeof(float); }

void scale_weight(const __nv_bfloat16* w, const float* lambda, std::int64_t count,
                  __nv_bfloat16* scaled, cudaStream_t stream) {
  scale<<<static_cast<unsigned>(blocks_of(count)), threads_of_block, 0, stream>>>(
      w, lambda, count / channels_of_lane, scaled);
  CUDA_CHECK(cudaGetLastError());
}

void scale_weight_backward(const __nv_bfloat16* w, const float* lambda, std::int64_t count,
                           __nv_bfloat16* grad_scaled, float* grad_lambda, void* workspace,
                           cudaStream_t stream) {
  const auto blocks = static_cast<int>(std::min<std::int64_t>(blocks_of(count), most_partials));
  auto* const partials = static_cast<float*>(workspace);
  scale_backward<<<static_cast<unsigned>(blocks), threads_of_block, 0, stream>>>(
      w, lambda, count / channels_of_lane, grad_scaled, partials, active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
  sum_partials(partials, blocks, 1, grad_lambda, stream);
}

}  // namespace pairedhead::gpu
