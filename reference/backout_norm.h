#pragma once

#include "reference/backout.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// Backout and the final norm, which the trainer launches as one kernel (SPEC §3.3, after the
// layers): y = rms(x - beta x_back). x, x_back, y: [T, C]; beta, the backout lambda, fp32. No M
// point: the difference is never stored. Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> backout_norm(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back,
                            const Scalar& beta);

// SPEC §5 "rms_norm", "backout". grad_y: [T, C].
template <class Scalar>
BackoutGradients<Scalar> backout_norm_backward(const Tensor<Scalar>& x,
                                               const Tensor<Scalar>& x_back, const Scalar& beta,
                                               const Tensor<Scalar>& grad_y);

}  // namespace pairedhead::reference
