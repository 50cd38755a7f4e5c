#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "reference/attention.h"
#include "reference/random.h"
#include "reference/scalar.h"
#include "reference/tensor.h"

// What the tests of the reference share: seeded tensors, inner products, and the certificate of a
// backward function.

namespace pairedhead::testing {

inline Tensor<double> normal_tensor(const Shape& shape, Random& random) {
  Tensor<double> tensor(shape);
  for (double& x : tensor.values()) x = random.normal();
  return tensor;
}

// x + direction * epsilon
inline Tensor<Dual> dual(const Tensor<double>& x, const Tensor<double>& direction) {
  Tensor<Dual> result(x.shape());
  for (Index i = 0; i < x.size(); ++i) result[i] = Dual(x[i], direction[i]);
  return result;
}

// A sum beside the sum of its terms' absolute values, which its error is measured against.
struct InnerProduct {
  double value = 0;
  double absolute = 0;

  void add(const Tensor<double>& a, const Tensor<double>& b) {
    for (Index i = 0; i < a.size(); ++i) {
      value += a[i] * b[i];
      absolute += std::abs(a[i] * b[i]);
    }
  }
  void add(double a, double b) {
    value += a * b;
    absolute += std::abs(a * b);
  }
  // <gradient, derivative of y>
  void add(const Tensor<double>& gradient, const Tensor<Dual>& y) {
    for (Index i = 0; i < y.size(); ++i) {
      value += gradient[i] * y[i].derivative;
      absolute += std::abs(gradient[i] * y[i].derivative);
    }
  }
};

// How far <g, J v> and <J^T g, v> are apart, in units of the sum of all |terms|. A backward
// function is certified by a result under certified_limit.
inline constexpr double certified_limit = 1e-12;
inline double disagreement(const InnerProduct& forward, const InnerProduct& backward) {
  return std::abs(forward.value - backward.value) / (forward.absolute + backward.absolute);
}

// The worst of |double - __float128| in unit roundoffs 2^-53 of the sum of |terms|.
inline double worst_roundoffs(const Tensor<double>& computed, const Tensor<Float128>& accurate,
                              const Tensor<Magnitude>& terms) {
  double worst = 0;
  for (Index i = 0; i < computed.size(); ++i) {
    const auto error = std::abs(static_cast<double>(Float128(computed[i]) - accurate[i]));
    if (error == 0) continue;
    worst = std::max(worst, error / (0x1p-53 * terms[i].magnitude));
  }
  return worst;
}

}  // namespace pairedhead::testing
