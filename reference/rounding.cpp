#include "reference/rounding.h"

#include <bit>
#include <cmath>

#include "reference/dtype.h"
#include "reference/random.h"

namespace pairedhead {

namespace {

constexpr int mantissa_bits = 52;  // of a double
constexpr double smallest_normal = 0x1p-126;

// One of the two neighbours of x, not zero and finite, among the numbers of 8 exponent bits and
// `kept` mantissa bits: the one above with the probability that x is near it.
double neighbour(double x, int kept, std::uint64_t random) {
  if (std::abs(x) >= smallest_normal) {
    // Adding a uniform number as long as the part that is cut off carries into the kept bits with
    // the probability that this part has of the spacing.
    const std::uint64_t cut = (std::uint64_t{1} << (mantissa_bits - kept)) - 1;
    return std::bit_cast<double>((std::bit_cast<std::uint64_t>(x) + (random & cut)) & ~cut);
  }
  const double spacing = std::ldexp(smallest_normal, -kept);  // of the subnormals
  const double below = std::floor(x / spacing) * spacing;
  return (x - below) / spacing > uniform(random) ? below + spacing : below;
}

}  // namespace

Rounding Rounding::split(std::uint64_t stream) const {
  return Rounding(mode_, Random(state_).split(stream).bits());
}

double Rounding::rounded_bf16(double x) {
  if (mode_ == Mode::nearest) return round_to(DType::bf16, x);
  if (x == 0 || !std::isfinite(x)) return x;
  return neighbour(x, 7, splitmix64(state_));
}

double stored_at_random(DType dtype, double x, std::uint64_t seed) {
  if ((dtype != DType::bf16 && dtype != DType::fp32) || x == 0 || !std::isfinite(x)) return x;
  constexpr int cell_bits = 6;
  constexpr std::uint64_t mantissa = (std::uint64_t{1} << mantissa_bits) - 1;
  const int kept = dtype == DType::bf16 ? 7 : 23;
  const std::uint64_t cell =
      (std::bit_cast<std::uint64_t>(x) & mantissa) >> (mantissa_bits - kept - cell_bits);
  return neighbour(x, kept, Random(seed).split(cell).bits());
}

}  // namespace pairedhead
