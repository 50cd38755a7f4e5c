#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "golden/golden_file.h"
#include "tools/components/component.h"

namespace pairedhead {

// The case as the reference answers it: inputs from the seed, exact values, their error scale.
// Throws InputError if the parameters are not the component's.
GoldenCase reference_case(const Component& component, const Parameters& parameters,
                          std::uint64_t seed, const std::string& name);

// The settings that golden/<component>.h5 holds: the component's edges as long as a case has at
// most `most_values` output and gradient values; the smallest one if all have more.
std::vector<Parameters> small_edges(const Component& component, Index most_values);

// The component's setting for a case of `tokens` tokens: the record's where it has one of that
// size, else its last edge stretched, with documents as packed text has them. Throws InputError
// where the component has no T.
Parameters setting_of_size(const Component& component, Index tokens, std::uint64_t seed);

// All golden files in a folder and below it, in order of their names. Throws InputError if there is
// none.
std::vector<std::filesystem::path> golden_files(const std::filesystem::path& folder);

}  // namespace pairedhead
