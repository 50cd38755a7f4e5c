#include "reference/fp8.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "reference/error.h"
#include "reference/mutant.h"

namespace pairedhead {
namespace {

struct Format {
  int mantissa_bits, bias;
  double largest;

  // Smallest normal's exponent, at which the spacing stops shrinking.
  int least_exponent() const { return 1 - bias; }
};

Format format_of(DType format) {
  if (format == DType::e4m3) return {3, 7, 448};
  if (format == DType::e5m2) return {2, 15, 57344};
  throw InputError("format: expected e4m3 or e5m2, got " + std::string(name_of(format)));
}

}  // namespace

std::uint8_t to_fp8_bits(DType format, double value) {
  const Format f = format_of(format);
  if (std::isnan(value)) return 0x7f;
  const double magnitude = std::min(std::abs(value), f.largest);
  const int exponent =
      magnitude == 0 ? f.least_exponent() : std::max(std::ilogb(magnitude), f.least_exponent());
  // In units of the spacing; nearbyint goes to even. It may carry into the next exponent, whose
  // code is the next.
  const double units = std::nearbyint(std::ldexp(magnitude, f.mantissa_bits - exponent));
  const int per_exponent = 1 << f.mantissa_bits;
  const int code = static_cast<int>(units) + (exponent - f.least_exponent()) * per_exponent;
  return static_cast<std::uint8_t>(code | (std::signbit(value) ? 0x80 : 0));
}

double from_fp8_bits(DType format, std::uint8_t bits) {
  const Format f = format_of(format);
  const int magnitude = bits & 0x7f;
  const int field = magnitude >> f.mantissa_bits;
  const int mantissa = magnitude & ((1 << f.mantissa_bits) - 1);
  const double sign = bits & 0x80 ? -1 : 1;
  if (format == DType::e4m3 && magnitude == 0x7f) return std::numeric_limits<double>::quiet_NaN();
  if (format == DType::e5m2 && field == 31) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  const int hidden = field > 0 ? 1 << f.mantissa_bits : 0;
  const int exponent = std::max(field, 1) - f.bias - f.mantissa_bits;
  return sign * std::ldexp(hidden + mantissa, exponent);
}

}  // namespace pairedhead

namespace pairedhead::reference {
namespace {

double largest(DType format) { return format == DType::e4m3 ? 448 : 57344; }

// The next code toward zero where nearest went away from it.
double toward_zero(DType format, double quotient) {
  std::uint8_t code = to_fp8_bits(format, quotient);
  if (std::abs(from_fp8_bits(format, code)) > std::abs(quotient)) --code;
  return from_fp8_bits(format, code);
}

}  // namespace

Tensor<double> quantise_fp8(const Tensor<double>& x, float scale, DType format) {
  if (mutated(Mutant::fp8_formats_exchanged)) {
    format = format == DType::e4m3 ? DType::e5m2 : DType::e4m3;
  }
  if (mutated(Mutant::fp8_without_scale)) scale = 1;
  Tensor<double> y(x.shape());
  for (Index i = 0; i < x.size(); ++i) {
    // Both are fp32 values, so rounding the double quotient to fp32 is one IEEE fp32 division.
    double quotient = round_to(DType::fp32, x[i] / static_cast<double>(scale));
    if (mutated(Mutant::fp8_quotient_in_bf16)) quotient = round_to(DType::bf16, quotient);
    if (mutated(Mutant::fp8_overflow_to_nan) && std::abs(quotient) > largest(format)) {
      quotient = std::numeric_limits<double>::quiet_NaN();
    }
    y[i] = mutated(Mutant::fp8_truncates) ? toward_zero(format, quotient)
                                          : from_fp8_bits(format, to_fp8_bits(format, quotient));
  }
  return y;
}

}  // namespace pairedhead::reference
