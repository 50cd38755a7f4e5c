#include "reference/matrix_product.h"

#include <Eigen/Core>
#include <algorithm>
#include <type_traits>

#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// What is added to the product, which is zero: assigned, it would be cleared once more.
template <class Left, class Right>
void multiply_in_blocks(const Left& left, const Right& right, Eigen::Map<RowMajor> product) {
  constexpr Index block = 128, small = 1 << 23;
  // For one thread, whole: a block would prepare the factor that it shares with the others anew.
  if (product.size() * left.cols() <= small) {
    product.noalias() += left * right;
    return;
  }
  // Blocks of the longer axis, cut by the shape alone, so that results do not depend on the
  // threads.
  const bool by_rows = product.rows() >= product.cols();
  const Index length = by_rows ? product.rows() : product.cols();
#pragma omp parallel for schedule(dynamic)
  for (Index first = 0; first < length; first += block) {
    const Index count = std::min(block, length - first);
    if (by_rows) {
      product.middleRows(first, count).noalias() += left.middleRows(first, count) * right;
    } else {
      product.middleCols(first, count).noalias() += left * right.middleCols(first, count);
    }
  }
}

// op(a) * op(b), each transposed or not.
template <bool transpose_a, bool transpose_b>
void multiply(const Tensor<double>& a, const Tensor<double>& b, Tensor<double>& product) {
  const Eigen::Map<const RowMajor> left(a.data(), a.dim(0), a.dim(1));
  const Eigen::Map<const RowMajor> right(b.data(), b.dim(0), b.dim(1));
  const Eigen::Map<RowMajor> result(product.data(), product.dim(0), product.dim(1));
  if constexpr (transpose_a) {
    multiply_in_blocks(left.transpose(), right, result);
  } else if constexpr (transpose_b) {
    multiply_in_blocks(left, right.transpose(), result);
  } else {
    multiply_in_blocks(left, right, result);
  }
}

template <bool transpose_a, bool transpose_b, class Scalar>
void multiply(const Tensor<Scalar>& a, const Tensor<Scalar>& b, Tensor<Scalar>& product) {
  const Index sum_length = a.dim(transpose_a ? 0 : 1);
  for (Index r = 0; r < product.dim(0); ++r) {
    for (Index n = 0; n < product.dim(1); ++n) {
      Scalar sum(0);
      for (Index k = 0; k < sum_length; ++k) {
        sum += (transpose_a ? a(k, r) : a(r, k)) * (transpose_b ? b(n, k) : b(k, n));
      }
      product(r, n) = sum;
    }
  }
}

template <bool transpose_a, bool transpose_b, class Scalar>
Tensor<Scalar> product_of(const Tensor<Scalar>& a, const Tensor<Scalar>& b) {
  require_matrix("left factor", a);
  require_matrix("right factor", b);
  if (a.dim(transpose_a ? 0 : 1) != b.dim(transpose_b ? 1 : 0)) {
    throw InputError("matrix product: expected factors that fit, got " + to_string(a.shape()) +
                     (transpose_a ? " transposed" : "") + " and " + to_string(b.shape()) +
                     (transpose_b ? " transposed" : ""));
  }
  Tensor<Scalar> product({a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)});
  multiply<transpose_a, transpose_b>(a, b, product);
  return product;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> times_transposed(const Tensor<Scalar>& a, const Tensor<Scalar>& b) {
  return product_of<false, true>(a, b);
}

template <class Scalar>
Tensor<Scalar> times(const Tensor<Scalar>& a, const Tensor<Scalar>& b) {
  return product_of<false, false>(a, b);
}

template <class Scalar>
Tensor<Scalar> transposed_times(const Tensor<Scalar>& a, const Tensor<Scalar>& b) {
  return product_of<true, false>(a, b);
}

#define INSTANTIATE(Scalar)                                                               \
  template Tensor<Scalar> times_transposed(const Tensor<Scalar>&, const Tensor<Scalar>&); \
  template Tensor<Scalar> times(const Tensor<Scalar>&, const Tensor<Scalar>&);            \
  template Tensor<Scalar> transposed_times(const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
