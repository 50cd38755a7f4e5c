#include "gpu/emulated/elementwise.h"

#include <cmath>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/warp_sum.h"

namespace pairedhead::gpu::emulated {
namespace {

float inverse_rms(const std::uint16_t* x, int width) {
  return 1 / std::sqrt(warp_product(x, x, width) / static_cast<float>(width) + 0x1p-23f);
}

float positive_part(std::uint16_t bits) { return bits & 0x8000u ? 0.0f : from_bf16(bits); }

}  // namespace

void rms_norm_forward(TokenShape shape, const std::uint16_t* x, std::uint16_t* y) {
  for (int row = 0; row < shape.size(); row += shape.width) {
    const float inverse = inverse_rms(x + row, shape.width);
    for (int i = row; i < row + shape.width; ++i) y[i] = to_bf16(from_bf16(x[i]) * inverse);
  }
}

void rms_norm_backward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* grad_y,
                       const std::uint16_t* grad_residual, std::uint16_t* grad_x) {
  for (int row = 0; row < shape.size(); row += shape.width) {
    const float inverse = inverse_rms(x + row, shape.width);
    const float along = warp_product(grad_y + row, x + row, shape.width) * inverse /
                        static_cast<float>(shape.width);
    for (int i = row; i < row + shape.width; ++i) {
      const float past = grad_residual == nullptr ? 0 : from_bf16(grad_residual[i]);
      grad_x[i] =
          to_bf16(past + (from_bf16(grad_y[i]) - from_bf16(x[i]) * inverse * along) * inverse);
    }
  }
}

void relu_squared_forward(TokenShape shape, const std::uint16_t* p, std::uint16_t* h) {
  for (int i = 0; i < shape.size(); ++i) h[i] = to_bf16(positive_part(p[i]) * positive_part(p[i]));
}

void relu_squared_backward(TokenShape shape, const std::uint16_t* p, const std::uint16_t* grad_h,
                           std::uint16_t* grad_p) {
  for (int i = 0; i < shape.size(); ++i) {
    const float slope = positive_part(p[i]) + positive_part(p[i]);
    grad_p[i] = to_bf16(slope * from_bf16(grad_h[i]));
  }
}

void mix_forward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* other, float factor,
                 float other_factor, std::uint16_t* mixed) {
  for (int i = 0; i < shape.size(); ++i) {
    mixed[i] = to_bf16(std::fma(factor, from_bf16(x[i]), other_factor * from_bf16(other[i])));
  }
}

void mix_backward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* other,
                  float factor, float other_factor, const std::uint16_t* grad_mixed,
                  std::uint16_t* grad_x, std::uint16_t* grad_other, float* grad_factor,
                  float* grad_other_factor) {
  for (int i = 0; i < shape.size(); ++i) {
    grad_x[i] = to_bf16(factor * from_bf16(grad_mixed[i]));
    grad_other[i] = to_bf16(other_factor * from_bf16(grad_mixed[i]));
  }
  // One partial sum a token, as a block a token leaves it.
  const auto product_of_tokens = [&](const std::uint16_t* z) {
    return warp_sum(shape.tokens, [&](int t) {
      return warp_product(grad_mixed + t * shape.width, z + t * shape.width, shape.width);
    });
  };
  *grad_factor = product_of_tokens(x);
  *grad_other_factor = product_of_tokens(other);
}

}  // namespace pairedhead::gpu::emulated
