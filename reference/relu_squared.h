#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.8: h = max(p, 0)^2, element by element. p, h: one shape. No M point.
template <class Scalar>
Tensor<Scalar> relu_squared(const Tensor<Scalar>& p);

// SPEC §5 "relu^2": dp = 2 * max(p, 0) * dh. Throws InputError where the shapes differ.
template <class Scalar>
Tensor<Scalar> relu_squared_backward(const Tensor<Scalar>& p, const Tensor<Scalar>& grad_h);

}  // namespace pairedhead::reference
