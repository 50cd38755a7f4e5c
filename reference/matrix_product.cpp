#include "reference/matrix_product.h"

#include <Eigen/Core>
#include <algorithm>
#include <type_traits>

#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// op(a) * op(b), each transposed or not.
template <bool transpose_a, bool transpose_b>
void multiply(const Tensor<double>& a, const Tensor<double>& b, Tensor<double>& product) {
  const Eigen::Map<const RowMajor> left(a.data(), a.dim(0), a.dim(1));
  const Eigen::Map<const RowMajor> right(b.data(), b.dim(0), b.dim(1));
  Eigen::Map<RowMajor> all(product.data(), product.dim(0), product.dim(1));
  // Blocks of rows are cut by the shape alone, so that results do not depend on the threads.
  constexpr Index block = 128;
  const Index rows = product.dim(0), sum_length = a.dim(transpose_a ? 0 : 1);
#pragma omp parallel for schedule(dynamic) if (rows * product.dim(1) * sum_length > 1 << 20)
  for (Index first = 0; first < rows; first += block) {
    const Index count = std::min(block, rows - first);
    auto target = all.middleRows(first, count);
    if constexpr (transpose_a) {
      target.noalias() = left.middleCols(first, count).transpose() * right;
    } else if constexpr (transpose_b) {
      target.noalias() = left.middleRows(first, count) * right.transpose();
    } else {
      target.noalias() = left.middleRows(first, count) * right;
    }
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
