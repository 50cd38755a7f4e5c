#include "reference/skip.h"

#include "reference/gate.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void check(const Tensor<Scalar>& x, const Tensor<Scalar>& x_skip, const Tensor<Scalar>& x0,
           const Tensor<Scalar>& w) {
  require_matrix("x", x);
  require_shape("x_skip", x_skip, x.shape());
  require_shape("x0", x0, x.shape());
  require_gate_input("x0", x0, x.dim(0));
  require_shape("w", w, {1, gate_channels});
}

}  // namespace

template <class Scalar>
Tensor<Scalar> skip(const Tensor<Scalar>& x, const Tensor<Scalar>& x_skip, const Tensor<Scalar>& x0,
                    const Tensor<Scalar>& w, const Scalar& theta) {
  check(x, x_skip, x0, w);
  const Scalar two(mutated(Mutant::skip_gate_undoubled) ? 1 : 2);
  const Tensor<Scalar>& read = mutated(Mutant::skip_gate_reads_residual) ? x : x0;
  Tensor<Scalar> mixed(x.shape());
  for (Index t = 0; t < x.dim(0); ++t) {
    const Scalar gain = sigmoid(theta) * two * gate_sigmoid(&read(t, 0), w.data());
    for (Index c = 0; c < x.dim(1); ++c) mixed(t, c) = x(t, c) + gain * x_skip(t, c);
  }
  return mixed;
}

template <class Scalar>
SkipGradients<Scalar> skip_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& x_skip,
                                    const Tensor<Scalar>& x0, const Tensor<Scalar>& w,
                                    const Scalar& theta, const Tensor<Scalar>& grad_mixed) {
  check(x, x_skip, x0, w);
  require_shape("grad_mixed", grad_mixed, x.shape());
  const Scalar one(1), two(2), strength = sigmoid(theta);
  SkipGradients<Scalar> grad{grad_mixed, Tensor<Scalar>(x.shape()), Tensor<Scalar>(x.shape()),
                             Tensor<Scalar>(w.shape()), Scalar(0)};
  for (Index t = 0; t < x.dim(0); ++t) {
    const Scalar sig = gate_sigmoid(&x0(t, 0), w.data());
    const Scalar grad_gain = dot(&grad_mixed(t, 0), &x_skip(t, 0), x.dim(1));
    for (Index c = 0; c < x.dim(1); ++c) {
      grad.x_skip(t, c) = strength * two * sig * grad_mixed(t, c);
    }
    grad.theta += two * sig * grad_gain;
    add_logit_gradient(two * strength * sig * (one - sig) * grad_gain, &x0(t, 0), w.data(),
                       &grad.x0(t, 0), grad.w.data());
  }
  if (!mutated(Mutant::skip_theta_slope_missing)) grad.theta *= strength * (one - strength);
  return grad;
}

#define INSTANTIATE(Scalar)                                                                  \
  template Tensor<Scalar> skip(const Tensor<Scalar>&, const Tensor<Scalar>&,                 \
                               const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&); \
  template SkipGradients<Scalar> skip_backward(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                               const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                               const Scalar&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
