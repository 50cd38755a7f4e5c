#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// Head, softcap and loss (SPEC §3.8, §3.9, §5): tensors are bf16 bits, all arithmetic fp32.

// The fp8 head: operands quantised on the way, products in fp32, 32 terms at a time.
// x: [tokens, channels]; lm_head: [vocabulary, channels]; z, grad_z: [tokens, vocabulary].
struct Fp8HeadShape {
  int tokens, channels, vocabulary;
};
void head_fp8_forward(Fp8HeadShape shape, const std::uint16_t* x, const std::uint16_t* lm_head,
                      std::uint16_t* z);
void head_fp8_backward(Fp8HeadShape shape, const std::uint16_t* x, const std::uint16_t* lm_head,
                       const std::uint16_t* grad_z, std::uint16_t* grad_x,
                       std::uint16_t* grad_lm_head);

struct LogitShape {
  int tokens, vocabulary;
};

void softcap_forward(LogitShape shape, const std::uint16_t* z, std::uint16_t* l);
void softcap_backward(LogitShape shape, const std::uint16_t* z, const std::uint16_t* grad_l,
                      std::uint16_t* grad_z);

struct LossProblem {
  LogitShape shape;
  const std::int32_t* targets;  // [tokens]
  const float* weights;         // [horizons], unread in validation
  int horizons;
  bool validation;  // the mean over tokens of the first horizon
};

// logsumexp: [tokens]; loss: one number.
void softcap_loss_forward(const LossProblem& problem, const std::uint16_t* z, float* logsumexp,
                          float* loss);
void softcap_loss_backward(const LossProblem& problem, const std::uint16_t* z,
                           const float* logsumexp, float grad_loss, std::uint16_t* grad_z);

// The e5m2 codes of `count` gradients of logits at the head's static scale.
void quantise_head_gradient(const std::uint16_t* grad_z, std::int64_t count, std::uint8_t* codes);

}  // namespace pairedhead::gpu::emulated
