#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// sum_i a[i] * b[i], terms added in the order of i.
template <class Scalar>
Scalar dot(const Scalar* a, const Scalar* b, Index count) {
  Scalar sum(0);
  for (Index i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// The full inner product <a, b> of two tensors of one shape.
template <class Scalar>
Scalar dot(const Tensor<Scalar>& a, const Tensor<Scalar>& b) {
  require_shape("right factor", b, a.shape());
  return dot(a.data(), b.data(), a.size());
}

}  // namespace pairedhead::reference
