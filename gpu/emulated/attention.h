#pragma once

#include <cstdint>
#include <vector>

// The GPU's attention on the CPU: the flat doubled view, online softmax in tiles, fp32 accumulators
// in another, seeded order, bf16 storage at the M points. Plain C++ that shares no arithmetic with
// reference/; what verify holds against the reference where there is no GPU.

namespace pairedhead::gpu::emulated {

struct HeadView {
  std::uint16_t* data;  // bf16 bits
  std::int64_t stride_token, stride_row, stride_slot;
};

// As gpu/kernels/attention.h, host pointers.
struct AttentionProblem {
  int tokens, rows_per_token, slots, head_dim, window;
  float softmax_scale;
  const std::int32_t* cu_seqlens;
  int entries;
  std::uint64_t order_seed;  // in which order accumulators add
};

void attention_forward(const AttentionProblem& problem, HeadView query, HeadView key,
                       HeadView value, HeadView y, float* logsumexp);
void attention_backward(const AttentionProblem& problem, HeadView query, HeadView key,
                        HeadView value, HeadView y, const float* logsumexp, HeadView grad_y,
                        HeadView grad_query, HeadView grad_key, HeadView grad_value);

}  // namespace pairedhead::gpu::emulated
