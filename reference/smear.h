#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.1.2-3: s_0 = e_0; s_t = e_t + lam sig(<e[t, 0:12], w>) e_{t-1} for t >= 1, where e_{t-1}
// is the raw embedding, and of another document where a document starts at t.
// e, s: [T, C], C >= 12; w: [1, 12]; lam, the smear lambda, fp32. No M point.
// Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> smear(const Tensor<Scalar>& e, const Tensor<Scalar>& w, const Scalar& lam);

template <class Scalar>
struct SmearGradients {
  Tensor<Scalar> e, w;
  Scalar lam;
};
// SPEC §5 "smear". grad_s: [T, C].
template <class Scalar>
SmearGradients<Scalar> smear_backward(const Tensor<Scalar>& e, const Tensor<Scalar>& w,
                                      const Scalar& lam, const Tensor<Scalar>& grad_s);

}  // namespace pairedhead::reference
