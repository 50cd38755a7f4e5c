#pragma once

#include <cstdint>

#include "gpu/emulated/token_shape.h"

namespace pairedhead::gpu::emulated {

// The gates of 12 channels (SPEC §3.1, §3.3, §3.6). bf16 bits in and out, logits and sums in fp32;
// lambdas and their gradients one fp32 each. Tensors of heads are contiguous [tokens, heads,
// head_dim]; what a gate reads is [tokens, heads * head_dim], its weights [heads, 12]. The gradient
// of what a gate reads is written in full, zeros beyond channel 11.
struct HeadShape {
  int tokens, heads, head_dim;
};

void output_gate_forward(HeadShape shape, const std::uint16_t* y, const std::uint16_t* a,
                         const std::uint16_t* w, std::uint16_t* gated);
void output_gate_backward(HeadShape shape, const std::uint16_t* y, const std::uint16_t* a,
                          const std::uint16_t* w, const std::uint16_t* grad_gated,
                          std::uint16_t* grad_y, std::uint16_t* grad_a, std::uint16_t* grad_w);

void value_mix_forward(HeadShape shape, const std::uint16_t* v, const std::uint16_t* ve,
                       const std::uint16_t* a, const std::uint16_t* w, std::uint16_t* mixed);
void value_mix_backward(HeadShape shape, const std::uint16_t* ve, const std::uint16_t* a,
                        const std::uint16_t* w, const std::uint16_t* grad_mixed,
                        std::uint16_t* grad_v, std::uint16_t* grad_ve, std::uint16_t* grad_a,
                        std::uint16_t* grad_w);

// Tensors [tokens, width]; w: [1, 12].
void skip_forward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* x_skip,
                  const std::uint16_t* x0, const std::uint16_t* w, float theta,
                  std::uint16_t* mixed);
void skip_backward(TokenShape shape, const std::uint16_t* x_skip, const std::uint16_t* x0,
                   const std::uint16_t* w, float theta, const std::uint16_t* grad_mixed,
                   std::uint16_t* grad_x, std::uint16_t* grad_x_skip, std::uint16_t* grad_x0,
                   std::uint16_t* grad_w, float* grad_theta);

void smear_forward(TokenShape shape, const std::uint16_t* e, const std::uint16_t* w, float lam,
                   std::uint16_t* s);
void smear_backward(TokenShape shape, const std::uint16_t* e, const std::uint16_t* w, float lam,
                    const std::uint16_t* grad_s, std::uint16_t* grad_e, std::uint16_t* grad_w,
                    float* grad_lam);

}  // namespace pairedhead::gpu::emulated
