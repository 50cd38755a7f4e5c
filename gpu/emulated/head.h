#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// Softcap and loss (SPEC §3.8, §3.9, §5): logits are bf16 bits, all arithmetic fp32.

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

}  // namespace pairedhead::gpu::emulated
