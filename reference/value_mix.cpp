#include "reference/value_mix.h"

#include "reference/gate.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void check(const Tensor<Scalar>& v, const Tensor<Scalar>& ve, const Tensor<Scalar>& a,
           const Tensor<Scalar>& w) {
  require_heads("v", v);
  require_shape("ve", ve, {v.dim(0), v.dim(1) * v.dim(2)});
  require_gate_input("a", a, v.dim(0));
  require_shape("w", w, {v.dim(1), gate_channels});
}

}  // namespace

template <class Scalar>
Tensor<Scalar> value_mix(const Tensor<Scalar>& v, const Tensor<Scalar>& ve, const Tensor<Scalar>& a,
                         const Tensor<Scalar>& w) {
  check(v, ve, a, w);
  const Scalar two(mutated(Mutant::value_gate_undoubled) ? 1 : 2);
  auto mixed = Tensor<Scalar>::unwritten(v.shape());
  for (Index t = 0; t < v.dim(0); ++t) {
    for (Index h = 0; h < v.dim(1); ++h) {
      const Scalar gate = two * gate_sigmoid(&a(t, 0), &w(h, 0));
      const Scalar own = mutated(Mutant::value_gate_on_sum) ? gate : Scalar(1);
      for (Index d = 0; d < v.dim(2); ++d) {
        mixed(t, h, d) = own * v(t, h, d) + gate * ve(t, h * v.dim(2) + d);
      }
    }
  }
  return mixed;
}

template <class Scalar>
ValueMixGradients<Scalar> value_mix_backward(const Tensor<Scalar>& v, const Tensor<Scalar>& ve,
                                             const Tensor<Scalar>& a, const Tensor<Scalar>& w,
                                             const Tensor<Scalar>& grad_mixed) {
  check(v, ve, a, w);
  require_shape("grad_mixed", grad_mixed, v.shape());
  const Scalar one(1), two(2);
  const Index head_dim = v.dim(2);
  ValueMixGradients<Scalar> grad{grad_mixed, Tensor<Scalar>(ve.shape()), Tensor<Scalar>(a.shape()),
                                 Tensor<Scalar>(w.shape())};
  for (Index t = 0; t < v.dim(0); ++t) {
    for (Index h = 0; h < v.dim(1); ++h) {
      const Index column = h * head_dim;
      const Scalar* const g = &grad_mixed(t, h, 0);
      const Scalar sig = gate_sigmoid(&a(t, 0), &w(h, 0));
      for (Index d = 0; d < head_dim; ++d) grad.ve(t, column + d) = two * sig * g[d];
      const bool of_value = mutated(Mutant::value_gate_gradient_of_value);
      const Scalar grad_gate = dot(g, of_value ? &v(t, h, 0) : &ve(t, column), head_dim);
      add_logit_gradient(two * sig * (one - sig) * grad_gate, &a(t, 0), &w(h, 0), &grad.a(t, 0),
                         &grad.w(h, 0));
    }
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                       \
  template Tensor<Scalar> value_mix(const Tensor<Scalar>&, const Tensor<Scalar>&,                 \
                                    const Tensor<Scalar>&, const Tensor<Scalar>&);                \
  template ValueMixGradients<Scalar> value_mix_backward(                                          \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, \
      const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
