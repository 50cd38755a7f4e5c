#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

inline constexpr double rms_epsilon = 0x1p-23;  // SPEC §1, eps_n

// SPEC §3 "rms": y = x * (mean x^2 + rms_epsilon)^(-1/2), the mean over the innermost axis.
// x, y: [T, C], or [T, H, D] where each head is normed by itself. No M point.
// Throws InputError on a tensor without elements.
template <class Scalar>
Tensor<Scalar> rms_norm(const Tensor<Scalar>& x);

// SPEC §5: grad_x = r * (g - y * mean(g * y)), r the root's reciprocal. x, grad_y, grad_x: one
// shape as above; throws InputError where they differ.
template <class Scalar>
Tensor<Scalar> rms_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y);

}  // namespace pairedhead::reference
