#pragma once

#include <array>

#include "reference/tensor.h"

namespace pairedhead::reference {

// sum_i a[i] * b[i], in eight partial sums, so that the compiler may use vector registers without
// reordering anything: the order is this one on every machine.
template <class Scalar>
inline Scalar dot(const Scalar* a, const Scalar* b, Index count) {
  constexpr Index lanes = 8;
  std::array<Scalar, lanes> sums;
  sums.fill(Scalar(0));
  Index i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (Index l = 0; l < lanes; ++l) sums[static_cast<std::size_t>(l)] += a[i + l] * b[i + l];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// The full inner product <a, b> of two tensors of one shape.
template <class Scalar>
Scalar dot(const Tensor<Scalar>& a, const Tensor<Scalar>& b) {
  require_shape("right factor", b, a.shape());
  return dot(a.data(), b.data(), a.size());
}

}  // namespace pairedhead::reference
