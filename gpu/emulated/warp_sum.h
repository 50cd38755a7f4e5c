#pragma once

#include <cstdint>

#include "gpu/emulated/bf16.h"

namespace pairedhead::gpu::emulated {

// Sum of term(0) ... term(count - 1) as a warp takes it: 32 lanes, each every 32nd term, then
// halves of the lanes folded onto each other.
template <class Term>
float warp_sum(int count, const Term& term) {
  float lanes[32] = {};
  for (int i = 0; i < count; ++i) lanes[i % 32] += term(i);
  for (int half = 16; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

// The same of a[i] * b[i], bf16 bits.
inline float warp_product(const std::uint16_t* a, const std::uint16_t* b, int count) {
  return warp_sum(count, [&](int i) { return from_bf16(a[i]) * from_bf16(b[i]); });
}

}  // namespace pairedhead::gpu::emulated
