#include "reference/qk_norm.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

// All heads of a token as one row.
template <class Scalar>
Tensor<Scalar> joined_heads(const Tensor<Scalar>& x) {
  return x.reshaped({x.dim(0), x.dim(1) * x.dim(2)});
}

}  // namespace

template <class Scalar>
Tensor<Scalar> qk_norm(const Tensor<Scalar>& x) {
  require_heads("x", x);
  if (mutated(Mutant::norm_over_all_heads)) return rms_norm(joined_heads(x)).reshaped(x.shape());
  return rms_norm(x);  // a head's channels are the innermost axis
}

template <class Scalar>
Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y) {
  require_heads("x", x);
  require_shape("grad_y", grad_y, x.shape());
  if (mutated(Mutant::norm_over_all_heads)) {
    return rms_norm_backward(joined_heads(x), joined_heads(grad_y)).reshaped(x.shape());
  }
  return rms_norm_backward(x, grad_y);
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
