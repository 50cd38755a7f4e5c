#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace pairedhead::gpu {

// QK norm + rotary + key shift as the trainer launches them (SPEC §3.4, §3.6.2-4), one pass over
// query and key. The switches isolate each piece for the tests.
struct QkPrepareProblem {
  int tokens, heads, head_dim;  // T >= 1; D: 8 ... 128, a multiple of 8
  bool normalise;
  bool paired;           // table layout: [T, 2D] and head parity, instead of [T, D]
  bool shift_keys;       // channels [D/4, D/2) and [3D/4, D) of key from the previous token
  long stride_token_in;  // elements between tokens of query_in and key_in (2304 inside u, or H * D)
};

// query_in, key_in: bf16 [T, H, D] with stride_token_in; query, key: bf16 [T, H, D] contiguous.
// cosine, sine: bf16 tables (SPEC §3.4), sine with its sign. Every pointer 16-byte aligned, the
// stride a multiple of 8. Launches on `stream` without synchronising. Throws CudaError,
// std::invalid_argument on a problem outside these bounds.
void qk_prepare_forward(const QkPrepareProblem& problem, const __nv_bfloat16* query_in,
                        const __nv_bfloat16* key_in, const __nv_bfloat16* cosine,
                        const __nv_bfloat16* sine, __nv_bfloat16* query, __nv_bfloat16* key,
                        cudaStream_t stream);

// SPEC §5. grad_query, grad_key: contiguous; grad_query_in, grad_key_in: with stride_token_in.
void qk_prepare_backward(const QkPrepareProblem& problem, const __nv_bfloat16* query_in,
                         const __nv_bfloat16* key_in, const __nv_bfloat16* cosine,
                         const __nv_bfloat16* sine, const __nv_bfloat16* grad_query,
                         const __nv_bfloat16* grad_key, __nv_bfloat16* grad_query_in,
                         __nv_bfloat16* grad_key_in, cudaStream_t stream);

}  // namespace pairedhead::gpu
