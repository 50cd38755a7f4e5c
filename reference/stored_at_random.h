#pragma once

#include <cstdint>
#include <span>

#include "reference/rounding.h"

namespace pairedhead {

// stored_at_random of many values at once, several times as fast. `x` and `stored` have one length;
// they may be the same values.
void stored_at_random(DType dtype, std::span<const double> x, std::uint64_t seed,
                      std::span<double> stored);

}  // namespace pairedhead
