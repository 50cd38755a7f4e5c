#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace pairedhead::gpu {

// One packed tensor of heads as attention sees it (SPEC §15 "pairing"): flat row R, slot j, channel
// d lie at  (R / rows_per_token) * stride_token + (R % rows_per_token) * stride_row + j *
// stride_slot + d elements from data. Plain attention: rows_per_token = 1, slots = H. Paired:
// rows_per_token = 2, slots = H / 2, and the two strides choose the pairing. data 16-byte aligned,
// strides multiples of 8.
struct HeadView {
  __nv_bfloat16* data;
  std::int64_t stride_token, stride_row, stride_slot;
};

// Sizes and settings shared by forward and backward. Everything is in tokens except window, which
// counts flat rows (SPEC §3.7: the window is not doubled, cu_seqlens is).
struct AttentionProblem {
  int tokens;          // T >= 1
  int rows_per_token;  // 1 plain, 2 paired
  int slots;           // H or H / 2
  int head_dim;        // D: 8 ... 128, a multiple of 8
  int window;          // w >= 1: flat row S is visible from R iff R - w <= S <= R, same document
  float softmax_scale;
  const std::int32_t* cu_seqlens;  // device, [entries]: document ends in tokens, non-decreasing,
  int entries;                     // cu_seqlens[0] = 0, last = T; repeated entries cost nothing
};

// Bytes of device scratch that forward and backward need (the two share it; contents are not kept).
std::size_t attention_workspace_bytes(const AttentionProblem& problem);

// SPEC §3.6.6, §3.7. y like query; logsumexp: fp32 [slots, T * rows_per_token], natural log.
// Deterministic; work proportional to the visible tiles. Launches on `stream` without
// synchronising. Throws CudaError.
void attention_forward(const AttentionProblem& problem, HeadView query, HeadView key,
                       HeadView value, HeadView y, float* logsumexp, void* workspace,
                       cudaStream_t stream);

// SPEC §5. Reads y and logsumexp of the forward. grad_query, grad_key, grad_value may be strided
// into one buffer (the gradient of u). No atomics: two runs give the same bits.
void attention_backward(const AttentionProblem& problem, HeadView query, HeadView key,
                        HeadView value, HeadView y, const float* logsumexp, HeadView grad_y,
                        HeadView grad_query, HeadView grad_key, HeadView grad_value,
                        void* workspace, cudaStream_t stream);

}  // namespace pairedhead::gpu
