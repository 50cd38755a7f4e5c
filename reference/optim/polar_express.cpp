#include "reference/optim/polar_express.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <utility>

#include "reference/dot.h"
#include "reference/matrix_product.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using pairedhead::sqrt;
using std::sqrt;

using EigenMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

auto view(Tensor<double>& x) { return Eigen::Map<EigenMatrix>(x.data(), x.dim(0), x.dim(1)); }
auto view(const Tensor<double>& x) {
  return Eigen::Map<const EigenMatrix>(x.data(), x.dim(0), x.dim(1));
}

template <class Scalar>
Tensor<Scalar> transposed(const Tensor<Scalar>& x) {
  auto y = Tensor<Scalar>::unwritten({x.dim(1), x.dim(0)});
  constexpr Index line = 8;  // columns at a time, so that a cache line of x is read once
  for (Index first = 0; first < x.dim(1); first += line) {
    const Index end = std::min(first + line, x.dim(1));
    for (Index i = 0; i < x.dim(0); ++i) {
      for (Index j = first; j < end; ++j) y(j, i) = x(i, j);
    }
  }
  return y;
}

template <class Scalar>
bool is_tall(const Tensor<Scalar>& x) {
  return x.dim(0) > x.dim(1);
}

// X X^T, of which one half is computed and the other mirrored.
template <class Scalar>
Tensor<Scalar> gram(const Tensor<Scalar>& x) {
  const Index rows = x.dim(0), columns = x.dim(1);
  Tensor<Scalar> product({rows, rows});
  if constexpr (std::is_same_v<Scalar, double>) {
    view(product).template selfadjointView<Eigen::Lower>().rankUpdate(view(x));
  } else {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j <= i; ++j) {
        for (Index k = 0; k < columns; ++k) product(i, j) += x(i, k) * x(j, k);
      }
    }
  }
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < i; ++j) product(j, i) = product(i, j);
  }
  return product;
}

// The functions of the header, drawing on from a Rounding instead of each beginning it anew.
template <class Scalar>
Tensor<Scalar> normalise(const Tensor<Scalar>& direction, Rounding& rounding) {
  Tensor<Scalar> x = rounding.bf16(is_tall(direction) ? transposed(direction) : direction);
  const Scalar squares = dot(x, x);
  const double safety = mutated(Mutant::polar_without_safety) ? 1.0 : 1.02;
  Scalar divisor = sqrt(squares) * Scalar(safety) + Scalar(1e-6);
  if (mutated(Mutant::polar_norm_of_rows)) {
    divisor = divisor * Scalar(1 / std::sqrt(static_cast<double>(x.dim(0))));
  }
  for (Scalar& value : x.values()) value = value / divisor;
  return x;
}

template <class Scalar>
Tensor<Scalar> iterate(const Tensor<Scalar>& x, const PolarCoefficients& coefficients, bool fused,
                       Rounding& rounding) {
  auto [a, b, c] = coefficients;
  if (mutated(Mutant::polar_coefficients_exchanged)) std::swap(b, c);
  const Tensor<Scalar> first = rounding.bf16(gram(x));
  Tensor<Scalar> second = gram(first);
  for (Index i = 0; i < second.size(); ++i) {
    second[i] = Scalar(b) * first[i] + Scalar(c) * second[i];
  }
  second = rounding.bf16(std::move(second));
  if (mutated(Mutant::polar_half_unmirrored)) {
    for (Index i = 0; i < second.dim(0); ++i) {
      for (Index j = i + 1; j < second.dim(1); ++j) second(i, j) = Scalar(0.0);
    }
  }
  Tensor<Scalar> y = times(second, x);
  if (!fused) y = rounding.bf16(std::move(y));
  if (mutated(Mutant::polar_without_linear_term)) return y;
  for (Index i = 0; i < y.size(); ++i) y[i] = Scalar(a) * x[i] + y[i];
  return y;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> polar_normalise(const Tensor<Scalar>& direction, Rounding rounding) {
  require_matrix("direction", direction);
  return normalise(direction, rounding);
}

template <class Scalar>
Tensor<Scalar> polar_iteration(const Tensor<Scalar>& x, const PolarCoefficients& coefficients,
                               bool fused, Rounding rounding) {
  require_matrix("x", x);
  if (is_tall(x)) {
    throw InputError("x: expected no more rows than columns, got " + to_string(x.shape()));
  }
  return iterate(x, coefficients, fused, rounding);
}

template <class Scalar>
Tensor<Scalar> polar_express(const Tensor<Scalar>& direction, bool fused, Rounding rounding) {
  require_matrix("direction", direction);
  Tensor<Scalar> x = normalise(direction, rounding);
  const std::size_t iterations = mutated(Mutant::polar_four_iterations) ? 4 : 5;
  for (std::size_t i = 0; i < iterations; ++i) {
    x = rounding.bf16(std::move(x));
    const std::size_t step = mutated(Mutant::polar_first_coefficients_kept) ? 0 : i;
    x = iterate(x, polar_coefficients[step], fused, rounding);
  }
  return is_tall(direction) ? transposed(x) : x;
}

#define INSTANTIATE(Scalar)                                                                      \
  template Tensor<Scalar> polar_normalise(const Tensor<Scalar>&, Rounding);                      \
  template Tensor<Scalar> polar_iteration(const Tensor<Scalar>&, const PolarCoefficients&, bool, \
                                          Rounding);                                             \
  template Tensor<Scalar> polar_express(const Tensor<Scalar>&, bool, Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
