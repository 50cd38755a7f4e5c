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

// What a mix is made of (SPEC §3.3.1-2): rho (x + skip) + lam x0. x, x0: bf16 [T, C], in the first
// layer the same; rho, lam: fp32, device.
struct MixInputs {
  const __nv_bfloat16 *x, *x0;
  SkipInputs skip;
  const float *rho, *lam;
};

// What reaches a mix backward.
struct MixIncoming {
  const __nv_bfloat16* mixed;  // past the layer's parts, bf16 [T, C]
  const __nv_bfloat16* a;      // bf16 [T, C], nullptr where nothing reads a
  const float* a_gates;        // fp32 [T, 12], added to the first 12 channels of `a`, or nullptr
  // Already there, bf16 [T, C] or nullptr: of an x that a later layer reads too, of x0 by later
  // layers.
  const __nv_bfloat16 *x_before, *x0_before;
};

// All are overwritten; x may be MixIncoming::mixed or x_before, x0 may be x0_before.
struct MixGradients {
  __nv_bfloat16 *x, *x0;  // bf16 [T, C]: what was there before and this layer's part
  float *rho, *lam;       // fp32
  SkipGradients skip;
};

// SPEC §3.3.1-3: mixed is the mix, a = rms(mixed); only `mixed` and a, bf16 [T, C], are rounded.
void mix_norm_forward(const StreamShape& shape, const MixInputs& inputs, __nv_bfloat16* mixed,
                      __nv_bfloat16* a, cudaStream_t stream);

// SPEC §5 "rms_norm", "trunk mix", "skip"; fp32 from what is read to what is written, `mixed` made
// again and not read.
void mix_norm_backward(const StreamShape& shape, const MixInputs& inputs,
                       const MixIncoming& incoming, const MixGradients& gradients, void* workspace,
                       cudaStream_t stream);

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
