#pragma once

#include <string_view>

namespace pairedhead {

// The version line of reference/SPEC.md, written into every golden. A test holds the two together.
inline constexpr std::string_view spec_version = "2026-01-07.1";

}  // namespace pairedhead
