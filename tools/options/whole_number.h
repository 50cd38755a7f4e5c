#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>

namespace pairedhead {

// A check of an option's number. CLI11 alone takes -1 for the largest seed there is, and so does it
// what is larger than that; its own checks speak of ranges of 10^308.
inline CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return {
      [=](const std::string& text) -> std::string {
        std::uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        if (whole && value >= least && value <= most) return "";
        return fmt::format("expected a whole number from {} to {}, got \"{}\"", least, most, text);
      },
      fmt::format("FROM {}", least)};
}

// Of what is counted: an Index.
inline CLI::Validator count_from(std::uint64_t least) {
  return whole_number(least, std::numeric_limits<std::int64_t>::max());
}

// Of seeds, which are any 64 bits.
inline CLI::Validator any_seed() {
  return whole_number(0, std::numeric_limits<std::uint64_t>::max());
}

}  // namespace pairedhead
