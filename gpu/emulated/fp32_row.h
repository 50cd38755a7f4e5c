#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/warp_sum.h"

// A token's row between what a fused kernel reads and what it writes.

namespace pairedhead::gpu::emulated {

using Fp32Row = std::vector<float>;

inline Fp32Row load_row(const std::uint16_t* bits, int width) {
  Fp32Row row;
  for (int c = 0; c < width; ++c) row.push_back(from_bf16(bits[c]));
  return row;
}

inline void store_row(const Fp32Row& row, std::uint16_t* bits) {
  for (const float x : row) *bits++ = to_bf16(x);
}

inline float product(const Fp32Row& a, const Fp32Row& b) {
  return warp_sum(static_cast<int>(a.size()), [&](int i) {
    const auto c = static_cast<std::size_t>(i);
    return a[c] * b[c];
  });
}

inline float inverse_rms(const Fp32Row& x) {
  return 1 / std::sqrt(product(x, x) / static_cast<float>(x.size()) + 0x1p-23f);
}

// SPEC §5 "rms_norm": what reaches x of y = rms(x).
inline Fp32Row norm_backward(const Fp32Row& x, const Fp32Row& grad_y) {
  const float inverse = inverse_rms(x);
  const float along = product(grad_y, x) * inverse / static_cast<float>(x.size());
  Fp32Row grad_x(x.size());
  for (std::size_t c = 0; c < x.size(); ++c) {
    grad_x[c] = (grad_y[c] - x[c] * inverse * along) * inverse;
  }
  return grad_x;
}

inline float logistic(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace pairedhead::gpu::emulated
