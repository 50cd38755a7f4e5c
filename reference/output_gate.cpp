#include "reference/output_gate.h"

#include "reference/gate.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void check(const Tensor<Scalar>& y, const Tensor<Scalar>& a, const Tensor<Scalar>& w) {
  require_heads("y", y);
  require_gate_input("a", a, y.dim(0));
  require_shape("w", w, {y.dim(1), gate_channels});
}

}  // namespace

template <class Scalar>
Tensor<Scalar> output_gate(const Tensor<Scalar>& y, const Tensor<Scalar>& a,
                           const Tensor<Scalar>& w) {
  check(y, a, w);
  auto gated = Tensor<Scalar>::unwritten(y.shape());
  for (Index t = 0; t < y.dim(0); ++t) {
    for (Index h = 0; h < y.dim(1); ++h) {
      const Index row = mutated(Mutant::output_gate_heads_reversed) ? y.dim(1) - 1 - h : h;
      Scalar gate = gate_sigmoid(&a(t, 0), &w(row, 0));
      if (mutated(Mutant::output_gate_doubled)) gate *= Scalar(2);
      for (Index d = 0; d < y.dim(2); ++d) gated(t, h, d) = gate * y(t, h, d);
    }
  }
  return gated;
}

template <class Scalar>
OutputGateGradients<Scalar> output_gate_backward(const Tensor<Scalar>& y, const Tensor<Scalar>& a,
                                                 const Tensor<Scalar>& w,
                                                 const Tensor<Scalar>& grad_gated) {
  check(y, a, w);
  require_shape("grad_gated", grad_gated, y.shape());
  OutputGateGradients<Scalar> grad{Tensor<Scalar>(y.shape()), Tensor<Scalar>(a.shape()),
                                   Tensor<Scalar>(w.shape())};
  for (Index t = 0; t < y.dim(0); ++t) {
    for (Index h = 0; h < y.dim(1); ++h) {
      const Scalar gate = gate_sigmoid(&a(t, 0), &w(h, 0));
      for (Index d = 0; d < y.dim(2); ++d) grad.y(t, h, d) = gate * grad_gated(t, h, d);
      Scalar slope = gate * (Scalar(1) - gate);
      if (mutated(Mutant::output_gate_slope_missing)) slope = gate;
      const Scalar grad_gate = dot(&grad_gated(t, h, 0), &y(t, h, 0), y.dim(2));
      add_logit_gradient(slope * grad_gate, &a(t, 0), &w(h, 0), &grad.a(t, 0), &grad.w(h, 0));
    }
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                         \
  template Tensor<Scalar> output_gate(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                      const Tensor<Scalar>&);                       \
  template OutputGateGradients<Scalar> output_gate_backward(                        \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
