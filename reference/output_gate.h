#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.6.7: gated[t, h, :] = y[t, h, :] * sig(<a[t, 0:12], w[h, :]>).
// y, gated: [T, H, D]; a: [T, C], C >= 12; w: [H, 12]. No M point.
// Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> output_gate(const Tensor<Scalar>& y, const Tensor<Scalar>& a,
                           const Tensor<Scalar>& w);

template <class Scalar>
struct OutputGateGradients {
  Tensor<Scalar> y, a, w;  // of a: what joins the gradient of a, zero beyond channel 11
};
// SPEC §5 "gate". grad_gated: [T, H, D].
template <class Scalar>
OutputGateGradients<Scalar> output_gate_backward(const Tensor<Scalar>& y, const Tensor<Scalar>& a,
                                                 const Tensor<Scalar>& w,
                                                 const Tensor<Scalar>& grad_gated);

}  // namespace pairedhead::reference
