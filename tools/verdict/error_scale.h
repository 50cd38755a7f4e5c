#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tools/components/component.h"
#include "tools/verdict/independence.h"

namespace pairedhead {

// How far an honest implementation may be from the truth, element by element, computed from the
// reference itself, so that no tolerance is ever chosen by hand.

// K. A value half way between two bf16 goes either way; if all draws went one way and the target
// the other, sigma would miss the error entirely. That happens with probability 2^(1-K): at K = 16
// it did, once in 100,000 honest cases (9 sigma, which more draws bring down to 3).
inline constexpr int noise_draws = 32;
// K of the second opinion: an isolated failure is judged again by so many draws. An error that one
// honest rounding in fifty makes, the unit of a ReLU that is just off and is switched on, say, is
// in none of 32 draws as often as not, and m^2 then misses most of what it estimates.
inline constexpr int most_noise_draws = 1024;
inline constexpr double underflow_threshold = 0x1p-126;  // smallest normal of fp32 and of bf16

// What a case's outputs are held against, by OutputRow::key().
struct Truth {
  Values exact;  // y*: the reference without rounding
  // sigma, shaped like exact, and how many of the errors are independent; none for outputs whose
  // bits are compared
  Values scale;
  std::map<std::string, Independence> independence;
  int draws = noise_draws;  // that scale is the mean of
};

// sigma_i^2 = max(m_i^2, mean of m^2 over the row / 4) + (u |y*_i| / 2)^2 + (4 u_acc a_i)^2
//             + underflow_threshold^2 where y*_i is not zero
//   m_i^2  mean over `draws` seeded draws of (rounded reference - y*)_i^2
//   row    the innermost axis at one outer index
//   u      unit roundoff of the output's dtype
//   u_acc  component.accumulator, else that of fp32
//   a_i    component.magnitude: the same computation on absolute values
// The last term is the eta of the standard model: a value that small may be stored as zero.
// The result is the same for every number of threads. Throws what the component throws.
Truth truth_of(const Component& component, const Parameters& parameters, const Arrays& inputs,
               std::uint64_t seed, int draws = noise_draws);

// The same before a target has run: y* alone where the row is judged stage by stage, since the rest
// follows from what the target gives.
Truth truth_before_stages(const Component& component, const Parameters& parameters,
                          const Arrays& inputs, std::uint64_t seed);

// What these outputs of a target are held against. For a row that is judged stage by stage the
// truth of each stage, given the target's own previous one; else `truth`.
Truth truth_of_stages(const Component& component, const Parameters& parameters,
                      const Arrays& inputs, std::uint64_t seed, const Truth& truth,
                      const Arrays& outputs);

// The same for rows with or without stages, by so many draws.
Truth truth_given_outputs(const Component& component, const Parameters& parameters,
                          const Arrays& inputs, std::uint64_t seed, const Arrays& outputs,
                          int draws);

// Adds scale, by truth.draws draws, and independence where y* is known already.
void add_scale(const Component& component, const Parameters& parameters, const Arrays& inputs,
               std::uint64_t seed, Truth& truth);

}  // namespace pairedhead
