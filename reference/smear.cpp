#include "reference/smear.h"

#include "reference/gate.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void check(const Tensor<Scalar>& e, const Tensor<Scalar>& w) {
  require_matrix("e", e);
  require_gate_input("e", e, e.dim(0));
  require_shape("w", w, {1, gate_channels});
}

}  // namespace

template <class Scalar>
Tensor<Scalar> smear(const Tensor<Scalar>& e, const Tensor<Scalar>& w, const Scalar& lam) {
  check(e, w);
  Tensor<Scalar> s = e;
  for (Index t = 1; t < e.dim(0); ++t) {
    const Index read = mutated(Mutant::smear_gate_of_previous_token) ? t - 1 : t;
    const Scalar gate = lam * gate_sigmoid(&e(read, 0), w.data());
    const Tensor<Scalar>& previous = mutated(Mutant::smear_recursive) ? s : e;
    for (Index c = 0; c < e.dim(1); ++c) s(t, c) += gate * previous(t - 1, c);
  }
  return s;
}

template <class Scalar>
SmearGradients<Scalar> smear_backward(const Tensor<Scalar>& e, const Tensor<Scalar>& w,
                                      const Scalar& lam, const Tensor<Scalar>& grad_s) {
  check(e, w);
  require_shape("grad_s", grad_s, e.shape());
  SmearGradients<Scalar> grad{grad_s, Tensor<Scalar>(w.shape()), Scalar(0)};
  for (Index t = 1; t < e.dim(0); ++t) {
    const Scalar sig = gate_sigmoid(&e(t, 0), w.data());
    const Scalar grad_gate = dot(&grad_s(t, 0), &e(t - 1, 0), e.dim(1));
    grad.lam += sig * grad_gate;
    if (!mutated(Mutant::smear_adjoint_loses_next_token)) {
      for (Index c = 0; c < e.dim(1); ++c) grad.e(t - 1, c) += lam * sig * grad_s(t, c);
    }
    add_logit_gradient(lam * sig * (Scalar(1) - sig) * grad_gate, &e(t, 0), w.data(), &grad.e(t, 0),
                       grad.w.data());
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                    \
  template Tensor<Scalar> smear(const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&);  \
  template SmearGradients<Scalar> smear_backward(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                                 const Scalar&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
