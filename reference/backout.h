#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.3, after the layers: reduced = x - beta * x_back. x, x_back, reduced: [T, C]; beta, the
// backout lambda, fp32. No M point. Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> backout(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back, const Scalar& beta);

template <class Scalar>
struct BackoutGradients {
  Tensor<Scalar> x, x_back;
  Scalar beta;
};
// SPEC §5 "backout": dx = g, dx_back = -beta g, d(beta) = -<g, x_back>. grad_reduced: [T, C].
template <class Scalar>
BackoutGradients<Scalar> backout_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back,
                                          const Scalar& beta, const Tensor<Scalar>& grad_reduced);

}  // namespace pairedhead::reference
