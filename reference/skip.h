#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.3.1: mixed_t = x_t + G_t x_skip_t, G_t = sig(theta) * 2 sig(<x0[t, 0:12], w>).
// x, x_skip, x0, mixed: [T, C], C >= 12; w: [1, 12]; theta, the skip lambda, fp32. No M point.
// Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> skip(const Tensor<Scalar>& x, const Tensor<Scalar>& x_skip, const Tensor<Scalar>& x0,
                    const Tensor<Scalar>& w, const Scalar& theta);

template <class Scalar>
struct SkipGradients {
  Tensor<Scalar> x, x_skip, x0, w;  // of x0: what joins its gradient, zero beyond channel 11
  Scalar theta;
};
// SPEC §5 "skip". grad_mixed: [T, C].
template <class Scalar>
SkipGradients<Scalar> skip_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& x_skip,
                                    const Tensor<Scalar>& x0, const Tensor<Scalar>& w,
                                    const Scalar& theta, const Tensor<Scalar>& grad_mixed);

}  // namespace pairedhead::reference
