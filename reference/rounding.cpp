#include "reference/rounding.h"

#include <bit>
#include <cmath>

#include "reference/dtype.h"
#include "reference/random.h"

namespace pairedhead {

Rounding Rounding::split(std::uint64_t stream) const {
  return Rounding(mode_, Random(state_).split(stream).bits());
}

double Rounding::rounded_bf16(double x) {
  if (mode_ == Mode::nearest) return round_to(DType::bf16, x);
  constexpr double smallest_normal = 0x1p-126;
  if (x == 0 || !std::isfinite(x)) return x;
  const std::uint64_t random = splitmix64(state_);
  if (std::abs(x) >= smallest_normal) {
    // bf16 keeps 7 of the double's 52 mantissa bits. Adding a uniform 45-bit number and cutting the
    // rest carries into the kept bits with the probability that the cut part has of the spacing.
    constexpr std::uint64_t cut = (std::uint64_t{1} << 45) - 1;
    return std::bit_cast<double>((std::bit_cast<std::uint64_t>(x) + (random & cut)) & ~cut);
  }
  constexpr double spacing = 0x1p-133;  // of bf16's subnormals
  const double below = std::floor(x / spacing) * spacing;
  return (x - below) / spacing > uniform(random) ? below + spacing : below;
}

}  // namespace pairedhead
