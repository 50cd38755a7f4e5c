#pragma once

#include <cstdint>

#include "gpu/emulated/token_shape.h"

namespace pairedhead::gpu::emulated {

// SPEC §3, §3.3, §3.8: pieces of the trunk that take each token, or each element, by itself. bf16
// bits in and out, fp32 within; a scalar and its gradient are one fp32 each.

void rms_norm_forward(TokenShape shape, const std::uint16_t* x, std::uint16_t* y);
// grad_residual: what reaches x past the norm, or nullptr.
void rms_norm_backward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* grad_y,
                       const std::uint16_t* grad_residual, std::uint16_t* grad_x);

void relu_squared_forward(TokenShape shape, const std::uint16_t* p, std::uint16_t* h);
void relu_squared_backward(TokenShape shape, const std::uint16_t* p, const std::uint16_t* grad_h,
                           std::uint16_t* grad_p);

// mixed = factor * x + other_factor * other: the residual mix, and backout with 1 and -beta.
void mix_forward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* other, float factor,
                 float other_factor, std::uint16_t* mixed);
void mix_backward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* other,
                  float factor, float other_factor, const std::uint16_t* grad_mixed,
                  std::uint16_t* grad_x, std::uint16_t* grad_other, float* grad_factor,
                  float* grad_other_factor);

}  // namespace pairedhead::gpu::emulated
