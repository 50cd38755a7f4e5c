#pragma once

#include <cstdint>
#include <type_traits>

#include "reference/tensor.h"

namespace pairedhead {

// Where the reference rounds. Every function of the reference that has M points (SPEC §3.10) takes a
// Rounding and passes the value of each M point through it.
//   exact       nothing is rounded: the truth
//   stochastic  one draw of the noise model: each M point is rounded to bf16 up or down with
//               probabilities that make the rounding unbiased
// The final rounding of an output is never done here (the error scale adds it by itself).
// Draws come from a counter-based generator: the n-th M point of a call gets the same random number
// whatever ran before it on other threads, so a seed names a draw.
class Rounding {
 public:
  static Rounding exact() { return Rounding(false, 0); }
  static Rounding stochastic(std::uint64_t seed) { return Rounding(true, seed); }

  bool is_exact() const { return !active_; }

  // One M point of dtype bf16. Scalars other than double pass through unchanged.
  template <class Scalar>
  Scalar bf16(const Scalar& x) {
    if constexpr (std::is_same_v<Scalar, double>) {
      return active_ ? stochastic_bf16(x) : x;
    } else {
      return x;
    }
  }

  template <class Scalar>
  Tensor<Scalar> bf16(Tensor<Scalar> x) {
    if (active_) {
      for (Scalar& value : x.values()) value = bf16(value);
    }
    return x;
  }

 private:
  Rounding(bool active, std::uint64_t seed) : active_(active), state_(seed) {}
  double stochastic_bf16(double x);

  bool active_;
  std::uint64_t state_;
};

}  // namespace pairedhead
