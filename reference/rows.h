#pragma once

#include <algorithm>
#include <cstddef>

#include "reference/tensor.h"

namespace pairedhead::reference {

// Rows [first, first + count) of a matrix, or all of them, where they lie. Element: Scalar, or
// const Scalar for rows that are only read.
template <class Element, class Matrix>
class RowsInPlace {
 public:
  RowsInPlace(Matrix& whole) : RowsInPlace(whole, 0, whole.dim(0)) {}
  RowsInPlace(Matrix& x, Index first, Index count)
      : shape_{count, x.dim(1)}, data_(x.data() + first * x.dim(1)) {}

  const Shape& shape() const { return shape_; }
  Index size() const { return shape_[0] * shape_[1]; }
  Element* data() const { return data_; }

 private:
  Shape shape_;
  Element* data_;
};
template <class Scalar>
using RowView = RowsInPlace<const Scalar, const Tensor<Scalar>>;
template <class Scalar>
using RowSpan = RowsInPlace<Scalar, Tensor<Scalar>>;

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
