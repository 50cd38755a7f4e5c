#pragma once

#include <cmath>
#include <type_traits>

#include "reference/rounding.h"
#include "reference/scalar.h"

namespace pairedhead::reference {

// The terms of a Magnitude are counted from here on: what an operand's own error does further on is
// seen in the noise, and sums of |terms| would multiply from component to component until they say
// nothing. Not so where terms cancelled until storing rounds less than adding them in fp32 did,
// which the noise does not draw: 2^-9 |value| < 2^-24 magnitude.
template <class Scalar>
Tensor<Scalar> as_operand(Tensor<Scalar> x) {
  if constexpr (std::is_same_v<Scalar, Magnitude>) {
    for (Magnitude& value : x.values()) {
      if (std::abs(value.value) >= 0x1p-15 * value.magnitude) value = Magnitude(value.value);
    }
  }
  return x;
}

// What a bf16 buffer between two components holds (an M point of SPEC §3.10): `part` names the
// buffer, so that every pass over it draws the same noise.
template <class Scalar>
Tensor<Scalar> stored(Tensor<Scalar> x, const Rounding& rounding, std::uint64_t part) {
  return rounding.split(part).bf16(as_operand(std::move(x)));
}

}  // namespace pairedhead::reference
