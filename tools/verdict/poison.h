#pragma once

#include <cstdint>

#include "golden/array.h"
#include "tools/components/component.h"

namespace pairedhead {

// Output buffers hold a pattern before a target is called, so that an element it never writes is
// seen: quiet NaNs with a payload that no arithmetic makes for the floating types, an arbitrary
// pattern for the integers and the fp8 types. Each element has its own bits, from the seed and its
// position.
void poison(Array& array, std::uint64_t seed);

// Whether element i still holds the bits that poison(array, seed) wrote.
bool is_poison(const Array& array, Index i, std::uint64_t seed);

// Poisoned buffers for all outputs of a case, shaped like its exact values.
Arrays poisoned_outputs(const Component& component, const Values& exact, std::uint64_t seed);

// The same without the values: shapes from component.output_shape, for settings that are too large
// for the reference.
Arrays poisoned_outputs(const Component& component, const Parameters& parameters,
                        std::uint64_t seed);

// The poison of one output of poisoned_outputs.
std::uint64_t poison_seed(std::uint64_t seed, std::size_t output);

}  // namespace pairedhead
