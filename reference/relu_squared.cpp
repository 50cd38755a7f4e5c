#include "reference/relu_squared.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
Scalar relu(const Scalar& p) {
  if (mutated(Mutant::relu_squared_keeps_negatives)) return p;
  return p > Scalar(0) ? p : Scalar(0);
}

}  // namespace

template <class Scalar>
Tensor<Scalar> relu_squared(const Tensor<Scalar>& p) {
  Tensor<Scalar> h(p.shape());
  for (Index i = 0; i < p.size(); ++i) {
    const Scalar positive = relu(p[i]);
    h[i] = positive * positive;
  }
  return h;
}

template <class Scalar>
Tensor<Scalar> relu_squared_backward(const Tensor<Scalar>& p, const Tensor<Scalar>& grad_h) {
  require_shape("grad_h", grad_h, p.shape());
  const Scalar two(mutated(Mutant::relu_squared_backward_without_two) ? 1 : 2);
  Tensor<Scalar> grad_p(p.shape());
  for (Index i = 0; i < p.size(); ++i) grad_p[i] = two * relu(p[i]) * grad_h[i];
  return grad_p;
}

#define INSTANTIATE(Scalar)                                    \
  template Tensor<Scalar> relu_squared(const Tensor<Scalar>&); \
  template Tensor<Scalar> relu_squared_backward(const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
