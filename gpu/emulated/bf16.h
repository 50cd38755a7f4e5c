#pragma once

#include <bit>
#include <cstdint>

// bf16 as the GPU stores it: the upper half of a float, rounded to nearest, ties to even.

namespace pairedhead::gpu::emulated {

inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  // A NaN must not round up into an infinity.
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return static_cast<std::uint16_t>((nan ? bits | 0x400000u : rounded) >> 16);
}

// The value a float has after a round trip through bf16 storage.
inline float through_bf16(float value) { return from_bf16(to_bf16(value)); }

}  // namespace pairedhead::gpu::emulated
