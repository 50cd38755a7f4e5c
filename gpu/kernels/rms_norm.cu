#include "gpu/kernels/mutant.h"
#include "gpu/kernels/residual.h"
#include "gpu/kernels/row.cuh"

namespace pairedhead::gpu {
namespace {

template <class RowType>
__global__ void __launch_bounds__(row_threads)
    norm_forward(StreamShape shape, const __nv_bfloat16* __restrict__ x,
                 __nv_bfloat16* __restrict__ y, KernelMutant mutant) {
  const int token = first_row();
  if (token >= shape.tokens) return;
  const auto offset = static_cast<std::int64_t>(token) * shape.width;
  const auto row = load_row<RowType>(x + offset, shape.width);
  const float inverse =
      inverse_rms(row_sum<RowType>([&](int n) { return row[n] * row[n]; }), shape.width, mutant);
  store_rounded<RowType>(y + offset, shape.width, [&](int n) { return inverse * row[n]; });
}

// grad_x may be grad_residual, so neither is __restrict__.
template <class RowType>
__global__ void __launch_bounds__(row_threads)
    norm_backward(StreamShape shape, const __nv_bfloat16* __restrict__ x,
                  const __nv_bfloat16* __restrict__ grad_y, const __nv_bfloat16* grad_residual,
                  __nv_bfloat16* grad_x, KernelMutant mutant) {
  const int token = first_row();
  if (token >= shape.tokens) return;
  const auto offset = static_cast<std::int64_t>(token) * shape.width;
  const auto row = load_row<RowType>(x + offset, shape.width);
  const auto grad = load_row<RowType>(grad_y + offset, shape.width);
  RowType residual = {};
  if (grad_residual != nullptr && !planted(mutant, KernelMutant::norm_backward_loses_residual)) {
    residual = load_row<RowType>(grad_residual + offset, shape.width);
  }
  const float squares = row_sum<RowType>([&](int n) { return row[n] * row[n]; });
  const float products = row_sum<RowType>([&](int n) { return grad[n] * row[n]; });
  const float inverse = inverse_rms(squares, shape.width, mutant);
  const float mean = inverse * products / static_cast<float>(shape.width);
  store_rounded<RowType>(grad_x + offset, shape.width, [&](int n) {
    return residual[n] + inverse * (grad[n] - row[n] * inverse * mean);
  });
}

}  // namespace

void rms_norm_forward(const StreamShape& shape, const __nv_bfloat16* x, __nv_bfloat16* y,
                      cudaStream_t stream) {
  dispatch_row("rms_norm", shape.tokens, shape.width, [&]<class RowType>() {
    norm_forward<RowType>
        <<<row_blocks(shape.tokens), row_threads, 0, stream>>>(shape, x, y, active_kernel_mutant());
  });
}

void rms_norm_backward(const StreamShape& shape, const __nv_bfloat16* x,
                       const __nv_bfloat16* grad_y, const __nv_bfloat16* grad_residual,
                       __nv_bfloat16* grad_x, cudaStream_t stream) {
  dispatch_row("rms_norm", shape.tokens, shape.width, [&]<class RowType>() {
    norm_backward<RowType><<<row_blocks(shape.tokens), row_threads, 0, stream>>>(
        shape, x, grad_y, grad_residual, grad_x, active_kernel_mutant());
  });
}

}  // namespace pairedhead::gpu
