#pragma once

#include "reference/rms_norm.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.6.2: rms_norm of each head by itself. x, y: [T, H, D]. Throws InputError on other ranks.
template <class Scalar>
Tensor<Scalar> qk_norm(const Tensor<Scalar>& x);

// SPEC §5 "rms_norm". x, grad_y, grad_x: [T, H, D].
template <class Scalar>
Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y);

}  // namespace pairedhead::reference
