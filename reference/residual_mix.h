#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.3.2: mixed = rho * x + lam * x0. x, x0, mixed: [T, C]; rho, lam fp32. No M point.
// Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> residual_mix(const Tensor<Scalar>& x, const Tensor<Scalar>& x0, const Scalar& rho,
                            const Scalar& lam);

template <class Scalar>
struct ResidualMixGradients {
  Tensor<Scalar> x, x0;
  Scalar rho, lam;
};
// SPEC §5 "trunk mix": dx = rho g, dx0 = lam g, d(rho) = <g, x>, d(lam) = <g, x0>.
// grad_mixed: [T, C]. In layer 0, where x is x0, the two gradients add.
template <class Scalar>
ResidualMixGradients<Scalar> residual_mix_backward(const Tensor<Scalar>& x,
                                                   const Tensor<Scalar>& x0, const Scalar& rho,
                                                   const Scalar& lam,
                                                   const Tensor<Scalar>& grad_mixed);

}  // namespace pairedhead::reference
