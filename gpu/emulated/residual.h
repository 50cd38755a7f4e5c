#pragma once

#include <cstdint>

#include "gpu/emulated/token_shape.h"

namespace pairedhead::gpu::emulated {

// The fused kernels of the residual stream (SPEC §3.3): a token's rows stay in fp32 between what
// is read and what is written. bf16 bits in and out; scalars and their gradients one fp32 each.

// What a layer's entry reads. x_skip is nullptr where it has no skip; w: [1, 12].
struct MixNormRows {
  const std::uint16_t *x, *x0;
  float rho, lam;
  const std::uint16_t* x_skip = nullptr;
  const std::uint16_t* w = nullptr;
  float theta = 0;
};
void mix_norm_forward(TokenShape shape, const MixNormRows& in, std::uint16_t* mixed,
                      std::uint16_t* a);

// What reaches it, the last three nullptr where nothing does; a_gates: fp32 [tokens, 12].
struct MixNormIncoming {
  const std::uint16_t *mixed, *a;
  const float* a_gates = nullptr;
  const std::uint16_t *x_before = nullptr, *x0_before = nullptr;
};
struct MixNormGradients {
  std::uint16_t *x, *x0;
  float *rho, *lam;
  std::uint16_t *x_skip = nullptr, *w = nullptr;
  float* theta = nullptr;
};
void mix_norm_backward(TokenShape shape, const MixNormRows& in, const MixNormIncoming& incoming,
                       const MixNormGradients& grad);

void backout_norm_forward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* x_back,
                          float beta, std::uint16_t* y);
void backout_norm_backward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* x_back,
                           float beta, const std::uint16_t* grad_y, std::uint16_t* grad_x,
                           std::uint16_t* grad_x_back, float* grad_beta);

}  // namespace pairedhead::gpu::emulated
