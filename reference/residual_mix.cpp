#include "reference/residual_mix.h"

#include "reference/dot.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void check(const Tensor<Scalar>& x, const Tensor<Scalar>& x0) {
  require_matrix("x", x);
  require_shape("x0", x0, x.shape());
}

}  // namespace

template <class Scalar>
Tensor<Scalar> residual_mix(const Tensor<Scalar>& x, const Tensor<Scalar>& x0, const Scalar& rho,
                            const Scalar& lam) {
  check(x, x0);
  const Scalar factor = mutated(Mutant::residual_mix_scales_sum) ? rho * lam : lam;
  auto mixed = Tensor<Scalar>::unwritten(x.shape());
  for (Index i = 0; i < x.size(); ++i) mixed[i] = rho * x[i] + factor * x0[i];
  return mixed;
}

template <class Scalar>
ResidualMixGradients<Scalar> residual_mix_backward(const Tensor<Scalar>& x,
                                                   const Tensor<Scalar>& x0, const Scalar& rho,
                                                   const Scalar& lam,
                                                   const Tensor<Scalar>& grad_mixed) {
  check(x, x0);
  require_shape("grad_mixed", grad_mixed, x.shape());
  ResidualMixGradients<Scalar> grad{Tensor<Scalar>::unwritten(x.shape()),
                                    Tensor<Scalar>::unwritten(x.shape()), dot(grad_mixed, x),
                                    dot(grad_mixed, x0)};
  if (mutated(Mutant::residual_mix_gradients_exchanged)) std::swap(grad.rho, grad.lam);
  for (Index i = 0; i < x.size(); ++i) {
    grad.x[i] = rho * grad_mixed[i];
    grad.x0[i] = lam * grad_mixed[i];
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                          \
  template Tensor<Scalar> residual_mix(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                       const Scalar&, const Scalar&);                \
  template ResidualMixGradients<Scalar> residual_mix_backward(                       \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&, const Scalar&,    \
      const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
