#pragma once

#include <algorithm>
#include <cstddef>

#include "reference/tensor.h"

namespace pairedhead::reference {

// Rows [first, first + count) along the outermost axis of x.
template <class Scalar>
Tensor<Scalar> rows_of(const Tensor<Scalar>& x, Index first, Index count) {
  Shape shape = x.shape();
  const Index width = x.size() / shape[0];
  shape[0] = count;
  const auto begin = static_cast<std::size_t>(first * width);
  return Tensor<Scalar>(shape, x.values().subspan(begin, static_cast<std::size_t>(count * width)));
}

// The inverse: x's rows from `first` on become those of `part`.
template <class Scalar>
void put_rows(const Tensor<Scalar>& part, Index first, Tensor<Scalar>& x) {
  std::copy_n(part.data(), part.size(), x.data() + first * (x.size() / x.dim(0)));
}

}  // namespace pairedhead::reference
