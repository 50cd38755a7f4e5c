#pragma once

#include <cstdint>
#include <type_traits>

#include "reference/dtype.h"
#include "reference/tensor.h"

namespace pairedhead {

// Where the reference rounds. Every function of the reference that has M points (SPEC §3.10) takes
// a Rounding and passes the value of each M point through it.
//   exact       nothing is rounded: the truth
//   stochastic  one draw of the noise model: each M point is rounded to bf16 up or down with
//               probabilities that make the rounding unbiased
//   nearest     as a GPU stores them; the `rounded` target, which tests the verdict engine
// The final rounding of an output is never done here (the error scale adds it by itself).
// Draws come from a counter-based generator: the n-th M point of a call that is not zero gets the
// same random number whatever ran before it on other threads, so a seed names a draw.
class Rounding {
 public:
  static Rounding exact() { return Rounding(Mode::exact, 0); }
  static Rounding stochastic(std::uint64_t seed) { return Rounding(Mode::stochastic, seed); }
  static Rounding nearest() { return Rounding(Mode::nearest, 0); }

  bool is_exact() const { return mode_ == Mode::exact; }

  // An independent source of draws for a named part of a computation, the same each time; what is
  // exact or nearest stays so.
  Rounding split(std::uint64_t stream) const;

  // One M point of dtype bf16. Scalars other than double pass through unchanged.
  template <class Scalar>
  Scalar bf16(const Scalar& x) {
    if constexpr (std::is_same_v<Scalar, double>) {
      return is_exact() ? x : rounded_bf16(x);
    } else {
      return x;
    }
  }

  template <class Scalar>
  Tensor<Scalar> bf16(Tensor<Scalar> x) {
    if (!is_exact()) {
      for (Scalar& value : x.values()) value = bf16(value);
    }
    return x;
  }

 private:
  enum class Mode { exact, stochastic, nearest };

  Rounding(Mode mode, std::uint64_t seed) : mode_(mode), state_(seed) {}
  double rounded_bf16(double x);

  Mode mode_;
  std::uint64_t state_;
};

// x as one of its two neighbours in bf16 or fp32, unbiased over the seeds. Which one is random from
// value to value, but the same for values that are equal up to sign and a power of two, or within
// 1/64 of their spacing: so it is where values are rounded to nearest. Other types: x itself.
double stored_at_random(DType dtype, double x, std::uint64_t seed);

}  // namespace pairedhead
