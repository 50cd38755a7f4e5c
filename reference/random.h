#pragma once

#include <cmath>
#include <cstdint>

#include "reference/tensor.h"

namespace pairedhead {

// SplitMix64: advances `state` and returns 64 well mixed bits. Used instead of <random>'s
// distributions because theirs differ between standard libraries, and a printed seed must mean the
// same inputs everywhere.
inline constexpr std::uint64_t splitmix64_step = 0x9e3779b97f4a7c15ull;
inline std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += splitmix64_step);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Uniform in [0, 1) from 53 of the bits.
inline double uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

// A seeded source of numbers; the same seed gives the same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() { return splitmix64(state_); }
  double uniform01() { return uniform(bits()); }
  // What this source is after `draws` more calls of bits() or uniform01(), without making them, so
  // that several threads can share one sequence.
  Random after(std::uint64_t draws) const { return Random(state_ + draws * splitmix64_step); }
  // Both ends included.
  Index integer(Index low, Index high) {
    const auto span = static_cast<std::uint64_t>(high - low) + 1;
    return low + static_cast<Index>(bits() % span);
  }
  // Sum of twelve uniforms: exactly the same on every machine, unlike a normal made with log and
  // cos, and as good a bell as a fill needs (tails end at six standard deviations).
  static constexpr int draws_of_normal = 12;
  double normal() {
    double sum = -6;
    for (int i = 0; i < draws_of_normal; ++i) sum += uniform01();
    return sum;
  }
  // An independent source for a named part of a case.
  Random split(std::uint64_t stream) {
    std::uint64_t state = state_ ^ (stream * 0xd1342543de82ef95ull);
    return Random(splitmix64(state));
  }

 private:
  std::uint64_t state_;
};

}  // namespace pairedhead
