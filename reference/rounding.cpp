#include "reference/rounding.h"

#include <cmath>
#include <limits>

#include "reference/random.h"

namespace pairedhead {

double Rounding::stochastic_bf16(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  // Spacing of bf16 at x: 8 significant bits, the exponent never under that of the subnormals.
  int exponent = 0;
  std::frexp(x, &exponent);
  const double spacing = std::ldexp(1.0, std::max(exponent - 8, -133));
  const double below = std::floor(x / spacing) * spacing;
  if (below == x) return x;
  return (x - below) / spacing > uniform(splitmix64(state_)) ? below + spacing : below;
}

}  // namespace pairedhead
