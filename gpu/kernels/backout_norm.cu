#include "gpu/kernels/mutant.h"
#include "gpu/kernels/residual.h"
#include "gpu/kernels/row.cuh"

// The difference is never stored: backward takes it again from both rows, in fp32.

namespace pairedhead::gpu {
namespace {

constexpr int resident_blocks = 4;  // of the backward kernel on a multiprocessor

template <class RowType>
struct Reduced {
  RowType x, x_back;
  float row[RowType::elements];  // x - beta x_back
  float inverse;                 // of its root mean square
};

template <class RowType>
__device__ __forceinline__ Reduced<RowType> load_reduced(const StreamShape& shape,
                                                         const __nv_bfloat16* x,
                                                         const __nv_bfloat16* x_back, float beta,
                                                         std::int64_t offset, KernelMutant mutant) {
  Reduced<RowType> reduced;
  reduced.x = load_row<RowType>(x + offset, shape.width);
  reduced.x_back = load_row<RowType>(x_back + offset, shape.width);
  const float sign = planted(mutant, KernelMutant::backout_adds) ? 1 : -1;
#pragma unroll
  for (int n = 0; n < RowType::elements; ++n) {
    reduced.row[n] = reduced.x[n] + sign * beta * reduced.x_back[n];
  }
  const float squares = row_sum<RowType>([&](int n) { return reduced.row[n] * reduced.row[n]; });
  reduced.inverse = inverse_rms(squares, shape.width, mutant);
  return reduced;
}

template <class RowType>
__global__ void __launch_bounds__(row_threads)
    backout_forward(StreamShape shape, const __nv_bfloat16* __restrict__ x,
                    const __nv_bfloat16* __restrict__ x_back, const float* beta,
                    __nv_bfloat16* __restrict__ y, KernelMutant mutant) {
  const int token = first_row();
  if (token >= shape.tokens) return;
  const auto offset = static_cast<std::int64_t>(token) * shape.width;
  const auto reduced = load_reduced<RowType>(shape, x, x_back, *beta, offset, mutant);
  store_rounded<RowType>(y + offset, shape.width,
                         [&](int n) { return reduced.inverse * reduced.row[n]; });
}

template <class RowType>
__global__ void __launch_bounds__(row_threads, resident_blocks)
    backout_backward(StreamShape shape, const __nv_bfloat16* __restrict__ x,
                     const __nv_bfloat16* __restrict__ x_back, const float* beta,
                     const __nv_bfloat16* __restrict__ grad_y, __nv_bfloat16* __restrict__ grad_x,
                     __nv_bfloat16* __restrict__ grad_x_back, float* partials,
                     KernelMutant mutant) {
  __shared__ float sums[row_warps][1];
  let_next_kernel_start();
  const float factor = planted(mutant, KernelMutant::backout_gradient_unsigned) ? *beta : -*beta;
  float of_beta = 0;
  for (int token = first_row(); token < shape.tokens;
       token += static_cast<int>(gridDim.x) * row_warps) {
    const auto offset = static_cast<std::int64_t>(token) * shape.width;
    const auto grad = load_row<RowType>(grad_y + offset, shape.width);
    const auto reduced = load_reduced<RowType>(shape, x, x_back, *beta, offset, mutant);
    const float products = row_sum<RowType>([&](int n) { return grad[n] * reduced.row[n]; });
    const float inverse = reduced.inverse;
    const float mean = inverse * products / static_cast<float>(shape.width);
    float g[RowType::elements];
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) {
      g[n] = inverse * (grad[n] - reduced.row[n] * inverse * mean);
      of_beta -= g[n] * reduced.x_back[n];
    }
    store_rounded<RowType>(grad_x + offset, shape.width, [&](int n) { return g[n]; });
    store_rounded<RowType>(grad_x_back + offset, shape.width, [&](int n) { return factor * g[n]; });
  }
  of_beta = warp_sum(of_beta);
  if (lane_of_warp() == 0) sums[warp_of_block()][0] = of_beta;
  leave_partials<1>(sums, partials);
}

}  // namespace

void backout_norm_forward(const StreamShape& shape, const __nv_bfloat16* x,
                          const __nv_bfloat16* x_back, const float* beta, __nv_bfloat16* y,
                          cudaStream_t stream) {
  dispatch_row("backout_norm", shape.tokens, shape.width, [&]<class RowType>() {
    backout_forward<RowType><<<row_blocks(shape.tokens), row_threads, 0, stream>>>(
        shape, x, x_back, beta, y, active_kernel_mutant());
  });
}

void backout_norm_backward(const StreamShape& shape, const __nv_bfloat16* x,
                           const __nv_bfloat16* x_back, const float* beta,
                           const __nv_bfloat16* grad_y, __nv_bfloat16* grad_x,
                           __nv_bfloat16* grad_x_back, float* grad_beta, void* workspace,
                           cudaStream_t stream) {
  const int blocks = summing_blocks(shape.tokens, resident_blocks);
  float* const partials = static_cast<float*>(workspace);
  dispatch_row("backout_norm", shape.tokens, shape.width, [&]<class RowType>() {
    backout_backward<RowType><<<static_cast<unsigned>(blocks), row_threads, 0, stream>>>(
        shape, x, x_back, beta, grad_y, grad_x, grad_x_back, partials, active_kernel_mutant());
  });
  sum_partials(partials, blocks, 1, grad_beta, stream);
}

}  // namespace pairedhead::gpu
