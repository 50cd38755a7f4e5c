#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3 "rms", §3.6.2: over the innermost axis, y = x * (mean x^2 + 2^-23)^(-1/2). x: [T, H, D].
inline constexpr double rms_epsilon = 0x1p-23;

template <class Scalar>
Tensor<Scalar> qk_norm(const Tensor<Scalar>& x);

// SPEC §5: grad_x = r * (g - y * mean(g * y)).
template <class Scalar>
Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y);

}  // namespace pairedhead::reference
