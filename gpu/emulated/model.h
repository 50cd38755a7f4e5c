#pragma once

#include <cstdint>
#include <vector>

#include "gpu/emulated/block.h"

namespace pairedhead::gpu::emulated {

// The whole model (SPEC §3, §5) as a chain of kernels: every tensor between two of them is stored
// as bf16.

struct ModelLayer {
  bool attention;
  HeadPairing pairing;
  bool long_window, shift_keys;
  int value_embedding;  // -1: none
};

struct ModelProblem {
  int tokens, heads, head_dim, hidden, vocabulary;
  std::vector<ModelLayer> layers;
  int skip_from, skip_to, backout_from;
  int value_embeddings;
  int short_window, long_window;  // tokens; flat rows where heads are paired
  float softmax_scale;
  const float* frequency;       // [head_dim]
  const std::int32_t* inputs;   // [tokens]
  const std::int32_t* targets;  // [tokens]
  const std::int32_t* cu_seqlens;
  int entries;
  bool split_embedding;      // the lookup reads embed, not lm_head
  bool fp8_head;             // of training
  const float* mtp_weights;  // [horizons]
  int horizons;
  bool validation;
  std::uint64_t order_seed;
};

// The parameters of SPEC §2, or their gradients, families stacked: qkvo by layers with attention,
// c_fc and c_proj by layers, value_embed by tables.
template <class Bf16, class Fp32>
struct ModelTensors {
  Bf16 *qkvo, *c_fc, *c_proj, *lm_head, *embed, *value_embed;
  Bf16 *smear_gate, *skip_gate, *attn_gate_bank, *ve_gate_bank;
  Fp32 *x0_lambdas, *scalars;
};
using ModelWeights = ModelTensors<const std::uint16_t, const float>;
using ModelGradients = ModelTensors<std::uint16_t, float>;

// loss: one number; head_input and its gradient: [tokens, heads * head_dim]; logits, before the
// softcap, and their gradient: [tokens, vocabulary]; grad_head_weight, the head's part of lm_head's
// gradient: [vocabulary, heads * head_dim]. Every gradient is written in full, zeros where a
// parameter has no part; that of embed while the embedding is tied is zero.
struct ModelOutputs {
  float* loss;
  std::uint16_t *head_input, *logits, *grad_logits, *grad_head_input, *grad_head_weight;
};
void model(const ModelProblem& problem, const ModelWeights& weights, float grad_loss,
           const ModelOutputs& outputs, const ModelGradients& gradients);

}  // namespace pairedhead::gpu::emulated
