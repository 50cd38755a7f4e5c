#include "reference/qk_norm.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

// What is normed together: a head, whose channels are the innermost axis.
template <class Scalar>
Tensor<Scalar> normed_rows(const Tensor<Scalar>& x) {
  if (!mutated(Mutant::norm_over_all_heads)) return x;
  return x.reshaped({x.dim(0), x.dim(1) * x.dim(2)});
}

}  // namespace

template <class Scalar>
Tensor<Scalar> qk_norm(const Tensor<Scalar>& x) {
  require_heads("x", x);
  return rms_norm(normed_rows(x)).reshaped(x.shape());
}

template <class Scalar>
Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y) {
  require_heads("x", x);
  require_shape("grad_y", grad_y, x.shape());
  return rms_norm_backward(normed_rows(x), normed_rows(grad_y)).reshaped(x.shape());
}

#define INSTANTIATE(Scalar)                               \
  template Tensor<Scalar> qk_norm(const Tensor<Scalar>&); \
  template Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
