#include "reference/backout_norm.h"

#include "reference/mutant.h"
#include "reference/rms_norm.h"
#include "reference/scalar.h"

namespace pairedhead::reference {

template <class Scalar>
Tensor<Scalar> backout_norm(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back,
                            const Scalar& beta) {
  if (mutated(Mutant::backout_norm_before_backout)) return backout(rms_norm(x), x_back, beta);
  return rms_norm(backout(x, x_back, beta));
}

template <class Scalar>
BackoutGradients<Scalar> backout_norm_backward(const Tensor<Scalar>& x,
                                               const Tensor<Scalar>& x_back, const Scalar& beta,
                                               const Tensor<Scalar>& grad_y) {
  return backout_backward(x, x_back, beta, rms_norm_backward(backout(x, x_back, beta), grad_y));
}

#define INSTANTIATE(Scalar)                                                          \
  template Tensor<Scalar> backout_norm(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                       const Scalar&);                               \
  template BackoutGradients<Scalar> backout_norm_backward(                           \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
