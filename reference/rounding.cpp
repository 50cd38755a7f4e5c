#include "reference/rounding.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "reference/dtype.h"
#include "reference/random.h"
#include "reference/stored_at_random.h"

namespace pairedhead {

namespace {

constexpr int mantissa_bits = 52;  // of a double
constexpr double smallest_normal = 0x1p-126;

// Adding a uniform number as long as the part that is cut off carries into the kept bits with the
// probability that this part has of the spacing. x is normal among the numbers that are kept.
double carried(double x, int kept, std::uint64_t random) {
  const std::uint64_t cut = (std::uint64_t{1} << (mantissa_bits - kept)) - 1;
  return std::bit_cast<double>((std::bit_cast<std::uint64_t>(x) + (random & cut)) & ~cut);
}

// One of the two neighbours of x, not zero and finite, among the numbers of 8 exponent bits and
// `kept` mantissa bits: the one above with the probability that x is near it.
double neighbour(double x, int kept, std::uint64_t random) {
  if (std::abs(x) >= smallest_normal) return carried(x, kept, random);
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

namespace {

// Mantissa bits of what is stored at random; 0 for other types.
int bits_kept(DType dtype) { return dtype == DType::bf16 ? 7 : dtype == DType::fp32 ? 23 : 0; }

std::uint64_t random_of_cell(double x, int kept, std::uint64_t seed) {
  constexpr int cell_bits = 6;
  constexpr std::uint64_t mantissa = (std::uint64_t{1} << mantissa_bits) - 1;
  const std::uint64_t cell =
      (std::bit_cast<std::uint64_t>(x) & mantissa) >> (mantissa_bits - kept - cell_bits);
  return Random(seed).split(cell).bits();
}

}  // namespace

double stored_at_random(DType dtype, double x, std::uint64_t seed) {
  const int kept = bits_kept(dtype);
  if (kept == 0 || x == 0 || !std::isfinite(x)) return x;
  return neighbour(x, kept, random_of_cell(x, kept, seed));
}

void stored_at_random(DType dtype, std::span<const double> x, std::uint64_t seed,
                      std::span<double> stored) {
  const int kept = bits_kept(dtype);
  if (kept == 0) {
    std::copy(x.begin(), x.end(), stored.begin());
    return;
  }
  // All as normal numbers first, in a loop of vectors: without branches.
  const auto ordinary = [](double value) {
    constexpr auto least = std::bit_cast<std::uint64_t>(smallest_normal);
    constexpr auto infinite = std::bit_cast<std::uint64_t>(std::numeric_limits<double>::infinity());
    return std::bit_cast<std::uint64_t>(std::abs(value)) - least < infinite - least;
  };
  std::array<double, 256> normal;
  while (!x.empty()) {
    const std::size_t count = std::min(x.size(), normal.size());
    unsigned all = 1;
    for (std::size_t i = 0; i < count; ++i) {
      normal[i] = carried(x[i], kept, random_of_cell(x[i], kept, seed));
      all &= static_cast<unsigned>(ordinary(x[i]));
    }
    for (std::size_t i = 0; all == 0 && i < count; ++i) {
      if (!ordinary(x[i])) normal[i] = stored_at_random(dtype, x[i], seed);
    }
    std::copy_n(normal.begin(), count, stored.begin());
    x = x.subspan(count);
    stored = stored.subspan(count);
  }
}

}  // namespace pairedhead
