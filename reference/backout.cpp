#include "reference/backout.h"

#include "reference/dot.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void check(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back) {
  require_matrix("x", x);
  require_shape("x_back", x_back, x.shape());
}

}  // namespace

template <class Scalar>
Tensor<Scalar> backout(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back, const Scalar& beta) {
  check(x, x_back);
  const Scalar factor = mutated(Mutant::backout_adds) ? beta : -beta;
  Tensor<Scalar> reduced(x.shape());
  for (Index i = 0; i < x.size(); ++i) reduced[i] = x[i] + factor * x_back[i];
  return reduced;
}

template <class Scalar>
BackoutGradients<Scalar> backout_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& x_back,
                                          const Scalar& beta, const Tensor<Scalar>& grad_reduced) {
  check(x, x_back);
  require_shape("grad_reduced", grad_reduced, x.shape());
  BackoutGradients<Scalar> grad{grad_reduced, Tensor<Scalar>(x.shape()),
                                -dot(grad_reduced, x_back)};
  if (mutated(Mutant::backout_gradient_sign)) grad.beta = -grad.beta;
  for (Index i = 0; i < x.size(); ++i) grad.x_back[i] = -beta * grad_reduced[i];
  return grad;
}

#define INSTANTIATE(Scalar)                                                                        \
  template Tensor<Scalar> backout(const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&);    \
  template BackoutGradients<Scalar> backout_backward(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                                     const Scalar&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
