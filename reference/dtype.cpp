#include "reference/dtype.h"

#include <bit>
#include <cmath>
#include <limits>

#include "reference/error.h"
#include "reference/fp8.h"

namespace pairedhead {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::e4m3:
    case DType::e5m2:
      return 1;
    case DType::bf16:
    case DType::uint16:
      return 2;
    case DType::fp32:
    case DType::int32:
      return 4;
    case DType::fp64:
      return 8;
  }
  throw InputError("dtype: expected one of bf16, fp32, fp64, int32, uint16, e4m3, e5m2");
}

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return 0x1p-8;
    case DType::fp32:
      return 0x1p-24;
    case DType::fp64:
      return 0x1p-53;
    case DType::e4m3:
      return 0x1p-4;
    case DType::e5m2:
      return 0x1p-3;
    case DType::int32:
    case DType::uint16:
      return 0;
  }
  return 0;
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return "bf16";
    case DType::fp32:
      return "fp32";
    case DType::fp64:
      return "fp64";
    case DType::int32:
      return "int32";
    case DType::uint16:
      return "uint16";
    case DType::e4m3:
      return "e4m3";
    case DType::e5m2:
      return "e5m2";
  }
  return "?";
}

DType dtype_of(std::string_view name) {
  for (DType d : {DType::bf16, DType::fp32, DType::fp64, DType::int32, DType::uint16, DType::e4m3,
                  DType::e5m2}) {
    if (name == name_of(d)) return d;
  }
  throw InputError("dtype: expected one of bf16, fp32, fp64, int32, uint16, e4m3, e5m2, got \"" +
                   std::string(name) + "\"");
}

std::uint16_t to_bf16_bits(double value) {
  if (std::isnan(value)) return 0x7fc0;
  // Round to odd on the way to fp32: the sticky bit keeps the second rounding honest.
  float truncated = static_cast<float>(value);
  if (std::isfinite(truncated) && static_cast<double>(truncated) != value) {
    if (std::abs(static_cast<double>(truncated)) > std::abs(value)) {
      truncated = std::nextafter(truncated, 0.0f);
    }
    truncated = std::bit_cast<float>(std::bit_cast<std::uint32_t>(truncated) | 1u);
  }
  const auto bits = std::bit_cast<std::uint32_t>(truncated);
  if (std::isinf(truncated)) return static_cast<std::uint16_t>(bits >> 16);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

double from_bf16_bits(std::uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
}

double round_to(DType dtype, double value) {
  switch (dtype) {
    case DType::bf16:
      return from_bf16_bits(to_bf16_bits(value));
    case DType::fp32:
      return static_cast<double>(static_cast<float>(value));
    case DType::fp64:
      return value;
    case DType::e4m3:
    case DType::e5m2:
      return from_fp8_bits(dtype, to_fp8_bits(dtype, value));
    case DType::int32:
    case DType::uint16:
      return std::nearbyint(value);
  }
  return value;
}

}  // namespace pairedhead
