#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.6.5: mixed[t, h, d] = v[t, h, d] + 2 sig(<a[t, 0:12], w[h, :]>) * ve[t, h * D + d].
// v, mixed: [T, H, D]; ve: [T, H * D]; a: [T, C], C >= 12; w: [H, 12]. No M point.
// Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> value_mix(const Tensor<Scalar>& v, const Tensor<Scalar>& ve, const Tensor<Scalar>& a,
                         const Tensor<Scalar>& w);

template <class Scalar>
struct ValueMixGradients {
  Tensor<Scalar> v, ve, a, w;  // of a: what joins the gradient of a, zero beyond channel 11
};
// SPEC §5 "gate". grad_mixed: [T, H, D].
template <class Scalar>
ValueMixGradients<Scalar> value_mix_backward(const Tensor<Scalar>& v, const Tensor<Scalar>& ve,
                                             const Tensor<Scalar>& a, const Tensor<Scalar>& w,
                                             const Tensor<Scalar>& grad_mixed);

}  // namespace pairedhead::reference
