#include "reference/relu_squared.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

// In a pass of its own, which the compiler does without branches: signs are as good as random.
template <class Scalar>
Tensor<Scalar> positive_part(Tensor<Scalar> p) {
  if (mutated(Mutant::relu_squared_keeps_negatives)) return p;
  for (Scalar& value : p.values()) value = value > Scalar(0) ? value : Scalar(0);
  return p;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> relu_squared(const Tensor<Scalar>& p) {
  Tensor<Scalar> h = positive_part(p);
  for (Scalar& positive : h.values()) positive *= positive;
  return h;
}

template <class Scalar>
Tensor<Scalar> relu_squared_backward(const Tensor<Scalar>& p, const Tensor<Scalar>& grad_h) {
  require_shape("grad_h", grad_h, p.shape());
  const Scalar two(mutated(Mutant::relu_squared_backward_without_two) ? 1 : 2);
  Tensor<Scalar> grad_p = positive_part(p);
  for (Index i = 0; i < p.size(); ++i) grad_p[i] = two * grad_p[i] * grad_h[i];
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
