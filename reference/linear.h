#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §2.3: y[t, n] = sum_k x[t, k] * w[n, k]. x: [T, K]; w: [N, K]; y: [T, N]. No M point.
// Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> linear(const Tensor<Scalar>& x, const Tensor<Scalar>& w);

template <class Scalar>
struct LinearGradients {
  Tensor<Scalar> x, w;  // [T, K], [N, K]
};
// SPEC §5 "lambda-scaled linear" with lambda = 1: dx = g w, dw = g^T x. grad_y: [T, N].
template <class Scalar>
LinearGradients<Scalar> linear_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& w,
                                        const Tensor<Scalar>& grad_y);

}  // namespace pairedhead::reference
