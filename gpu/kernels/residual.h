#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>

// What happens to the residual stream between matrix products: mixes, norms, the skip and the
// backout (SPEC §3.3), each fused with the norm behind it. Every function launches on `stream`
// without synchronising, and throws std::invalid_argument on a shape outside StreamShape's bounds,
// CudaError on a failed launch. Rows of C a multiple of 8 are 16-byte aligned; scalars' gradients
// are summed in an order that follows from the shape alone.

namespace pairedhead::gpu {

struct StreamShape {
  int tokens, width;  // T >= 1, C from 12 to 1024
};

// Bytes of scratch of the backward functions (contents are not kept).
std::size_t residual_workspace_bytes(const StreamShape& shape);

// What joins the stream before a mix (SPEC §3.3.1): G_t x_skip_t, G_t = 2 sig(theta)
// sig(<x0[t, 0:12], w>). x_skip: bf16 [T, C], nullptr where the layer has no skip; w: bf16 [12];
// theta: fp32, device.
struct SkipInputs {
  const __nv_bfloat16* x_skip = nullptr;
  const __nv_bfloat16* w = nullptr;
  const float* theta = nullptr;
};
struct SkipGradients {
  __nv_bfloat16* x_skip = nullptr;  // bf16 [T, C], overwritten
  __nv_bfloat16* w = nullptr;       // bf16 [12]
  float* theta = nullptr;           // fp32
};

// SPEC §3.3.1-3: mixed = rho (x + skip) + lam x0, a = rms(mixed); only `mixed` and a are rounded.
// x, x0, mixed, a: bf16 [T, C]; rho, lam: fp32, device. In the first layer x is x0.
void mix_norm_forward(const StreamShape& shape, const __nv_bfloat16* x, const __nv_bfloat16* x0,
                      const SkipInputs& skip, const float* rho, const float* lam,
                      __nv_bfloat16* mixed, __nv_bfloat16* a, cudaStream_t stream);

// SPEC §5 "rms_norm", "trunk mix", "skip"; fp32 from what is read to what is written, `mixed` made
// again and not read. Incoming: grad_mixed, what reaches the stream past the layer's parts, bf16
// [T, C]; grad_a, bf16 [T, C], nullptr where nothing reads a; grad_a_gates, fp32 [T, 12], added to
// the first 12 channels of grad_a, or nullptr. grad_x: bf16 [T, C], to which grad_x_before is added
// where it is not nullptr (an output that a later layer reads too); grad_x0: bf16 [T, C] =
// grad_x0_before + this layer's part, before nullptr: zero; the pairs may be one buffer each, and
// grad_x may be grad_mixed. grad_rho, grad_lam: fp32, overwritten.
void mix_norm_backward(const StreamShape& shape, const __nv_bfloat16* x, const __nv_bfloat16* x0,
                       const SkipInputs& skip, const float* rho, const float* lam,
                       const __nv_bfloat16* grad_mixed, const __nv_bfloat16* grad_a,
                       const float* grad_a_gates, const __nv_bfloat16* grad_x_before,
                       __nv_bfloat16* grad_x, const __nv_bfloat16* grad_x0_before,
                       __nv_bfloat16* grad_x0, float* grad_rho, float* grad_lam,
                       const SkipGradients& grad_skip, void* workspace, cudaStream_t stream);

// y = rms(x) (SPEC §3). x, y: bf16 [T, C].
void rms_norm_forward(const StreamShape& shape, const __nv_bfloat16* x, __nv_bfloat16* y,
                      cudaStream_t stream);

// grad_x = grad_residual + the norm's gradient (SPEC §5). grad_y, grad_residual, grad_x: bf16 [T,
// C]; grad_residual, what reaches x past the norm, may be nullptr, or be grad_x.
void rms_norm_backward(const StreamShape& shape, const __nv_bfloat16* x,
                       const __nv_bfloat16* grad_y, const __nv_bfloat16* grad_residual,
                       __nv_bfloat16* grad_x, cudaStream_t stream);

// After the layers (SPEC §3.3): y = rms(x - beta x_back). beta: fp32, device; y: bf16 [T, C].
void backout_norm_forward(const StreamShape& shape, const __nv_bfloat16* x,
                          const __nv_bfloat16* x_back, const float* beta, __nv_bfloat16* y,
                          cudaStream_t stream);

// SPEC §5 "backout". grad_y, grad_x, grad_x_back: bf16 [T, C], the latter two overwritten;
// grad_beta: fp32, overwritten.
void backout_norm_backward(const StreamShape& shape, const __nv_bfloat16* x,
                           const __nv_bfloat16* x_back, const float* beta,
                           const __nv_bfloat16* grad_y, __nv_bfloat16* grad_x,
                           __nv_bfloat16* grad_x_back, float* grad_beta, void* workspace,
                           cudaStream_t stream);

}  // namespace pairedhead::gpu
