#include "gpu/emulated/fp8.h"

#include <bit>

#include "gpu/emulated/bf16.h"

namespace pairedhead::gpu::emulated {
namespace {

// On the bits of the float: the mantissa is cut where the format ends, in subnormals earlier, and
// what was cut decides on the last bit.
std::uint8_t convert(float value, int mantissa_bits, int bias, std::uint32_t largest_code) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 31 << 7, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7f;
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  const int below = 1 - bias - exponent;  // how far under the smallest normal
  if (exponent > bias + 1) return static_cast<std::uint8_t>(sign | largest_code);
  if (below > mantissa_bits + 1) return static_cast<std::uint8_t>(sign);
  std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const int cut = 23 - mantissa_bits + (below > 0 ? below : 0);
  const std::uint32_t half = 1u << (cut - 1);
  const std::uint32_t rest = mantissa & ((1u << cut) - 1);
  mantissa >>= cut;
  if (rest > half || (rest == half && (mantissa & 1u))) ++mantissa;
  // The hidden bit, where it is there, makes the exponent's field one larger than this.
  const std::uint32_t field = below > 0 ? 0 : static_cast<std::uint32_t>(exponent + bias - 1);
  std::uint32_t code = (field << mantissa_bits) + mantissa;
  if (code > largest_code) code = largest_code;
  return static_cast<std::uint8_t>(sign | code);
}

}  // namespace

void quantise_fp8(const std::uint16_t* x, std::int64_t count, float scale, std::uint8_t* e4m3,
                  std::uint8_t* e5m2) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float quotient = from_bf16(x[i]) / scale;
    e4m3[i] = convert(quotient, 3, 7, 0x7e);
    e5m2[i] = convert(quotient, 2, 15, 0x7b);
  }
}

}  // namespace pairedhead::gpu::emulated
