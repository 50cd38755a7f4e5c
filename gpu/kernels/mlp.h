#pragma once

#include "gpu/kernels/linear.h"

namespace pairedhead::gpu {

struct MlpShape {
  std::int64_t tokens, width, hidden;  // T, C, F, the last a multiple of 8
};

// SPEC §3.8: out = residual + relu_squared(Lin(a, c_fc)) * c_proj.
// a, out, residual: bf16 [T, C], residual may be out, or nullptr; c_fc, c_proj: bf16 [F, C]. Left
// for the backward pass: positive = max(p, 0), bf16 [T, F]. squared: scratch, bf16 [T, F]. Throws
// CudaError, std::invalid_argument on a shape outside these bounds.
void mlp_forward(LinearAlgebra& algebra, const MlpShape& shape, const __nv_bfloat16* a,
                 const __nv_bfloat16* c_fc, const __nv_bfloat16* c_proj,
                 const __nv_bfloat16* residual, __nv_bfloat16* out, __nv_bfloat16* positive,
                 __nv_bfloat16* squared, cudaStream_t stream);

// SPEC §5 "c_proj", "relu^2". squared, hidden_gradient: scratch, bf16 [T, F]. grad_out, grad_a:
// bf16 [T, C]; grad_c_fc, grad_c_proj: bf16 [F, C].
void mlp_backward(LinearAlgebra& algebra, const MlpShape& shape, const __nv_bfloat16* a,
                  const __nv_bfloat16* c_fc, const __nv_bfloat16* c_proj,
                  const __nv_bfloat16* grad_out, const __nv_bfloat16* positive,
                  __nv_bfloat16* squared, __nv_bfloat16* hidden_gradient, __nv_bfloat16* grad_a,
                  __nv_bfloat16* grad_c_fc, __nv_bfloat16* grad_c_proj, cudaStream_t stream);

}  // namespace pairedhead::gpu
