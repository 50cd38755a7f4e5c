#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

// The gates of an attention layer: each head's is made from 12 channels of the normalised stream
// (SPEC §3.6.5, §3.6.7).

namespace pairedhead::gpu {

struct GateShape {
  int tokens, heads, head_dim, width;  // T, H, D, C >= 12 (a's row stride); T H <= 2^30
};

// Bytes of scratch of the backward functions (contents are not kept).
std::size_t gate_workspace_bytes(const GateShape& shape);

// SPEC §3.6.5: mixed[t, h, d] = v[t, h, d] + 2 sig(<a[t, 0:12], w[h, :]>) ve[t, h * D + d].
// v: bf16, token t at v + t * stride_token_v (it may lie inside u); ve, mixed: bf16 [T, H * D]
// contiguous; a: bf16 [T, C]; w: bf16 [H, 12].
void value_mix_forward(const GateShape& shape, const __nv_bfloat16* v, std::int64_t stride_token_v,
                       const __nv_bfloat16* ve, const __nv_bfloat16* a, const __nv_bfloat16* w,
                       __nv_bfloat16* mixed, cudaStream_t stream);

// SPEC §5 "gate". The gradient of v is grad_mixed itself. grad_mixed: bf16, token t at grad_mixed +
// t * stride_token (it may lie inside the gradient of u). grad_ve: bf16 [T, H * D], to which
// grad_ve_before is added where it is not nullptr (a table that two layers read; the two may be the
// same buffer); grad_w: bf16 [H, 12]; grad_a: fp32 [T, 12], overwritten, or added to where
// `accumulate`.
void value_mix_backward(const GateShape& shape, const __nv_bfloat16* grad_mixed,
                        std::int64_t stride_token, const __nv_bfloat16* ve, const __nv_bfloat16* a,
                        const __nv_bfloat16* w, const __nv_bfloat16* grad_ve_before,
                        __nv_bfloat16* grad_ve, __nv_bfloat16* grad_w, float* grad_a,
                        bool accumulate, void* workspace, cudaStream_t stream);

// SPEC §3.6.7: gated[t, h, :] = y[t, h, :] sig(<a[t, 0:12], w[h, :]>). y, gated: bf16 [T, H, D].
void output_gate_forward(const GateShape& shape, const __nv_bfloat16* y, const __nv_bfloat16* a,
                         const __nv_bfloat16* w, __nv_bfloat16* gated, cudaStream_t stream);

// SPEC §5 "gate". grad_gated, grad_y: bf16 [T, H, D], may be the same buffer; the rest as in
// value_mix_backward.
void output_gate_backward(const GateShape& shape, const __nv_bfloat16* grad_gated,
                          const __nv_bfloat16* y, const __nv_bfloat16* a, const __nv_bfloat16* w,
                          __nv_bfloat16* grad_y, __nv_bfloat16* grad_w, float* grad_a,
                          bool accumulate, void* workspace, cudaStream_t stream);

}  // namespace pairedhead::gpu
