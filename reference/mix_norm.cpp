#include "reference/mix_norm.h"

#include "reference/gate.h"
#include "reference/mutant.h"
#include "reference/residual_mix.h"
#include "reference/rms_norm.h"
#include "reference/scalar.h"
#include "reference/skip.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
Tensor<Scalar> sum(const Tensor<Scalar>& given, Tensor<Scalar> part, const char* name) {
  if (given.size() == 0) return part;
  require_shape(name, given, part.shape());
  for (Index i = 0; i < part.size(); ++i) part[i] = given[i] + part[i];
  return part;
}

// What enters the mix: x, or `skipped`, made here.
template <class Scalar>
const Tensor<Scalar>& entering(const MixNormInputs<Scalar>& in, Tensor<Scalar>& skipped) {
  if (!in.skips) return in.x;
  return skipped = skip(in.x, in.x_skip, in.x0, in.w, in.theta);
}

template <class Scalar>
Tensor<Scalar> mixed_of(const MixNormInputs<Scalar>& in, const Tensor<Scalar>& x) {
  if (in.skips && mutated(Mutant::skip_after_mix)) {
    return skip(residual_mix(in.x, in.x0, in.rho, in.lam), in.x_skip, in.x0, in.w, in.theta);
  }
  return residual_mix(x, in.x0, in.rho, in.lam);
}

template <class Scalar>
Tensor<Scalar> with_gates(Tensor<Scalar> grad_a, const Tensor<Scalar>& gates) {
  if (gates.size() == 0) return grad_a;
  require_shape("grad_a_gates", gates, {grad_a.dim(0), gate_channels});
  for (Index t = 0; t < grad_a.dim(0); ++t) {
    for (Index c = 0; c < gate_channels; ++c) grad_a(t, c) += gates(t, c);
  }
  return grad_a;
}

}  // namespace

template <class Scalar>
MixNorm<Scalar> mix_norm(const MixNormInputs<Scalar>& in) {
  require_gate_input("x", in.x, in.x.dim(0));
  MixNorm<Scalar> result;
  Tensor<Scalar> skipped;
  result.mixed = mixed_of(in, entering(in, skipped));
  result.a = rms_norm(result.mixed);
  return result;
}

template <class Scalar>
MixNormGradients<Scalar> mix_norm_backward(const MixNormInputs<Scalar>& in,
                                           const MixNormIncoming<Scalar>& incoming) {
  require_gate_input("x", in.x, in.x.dim(0));
  require_shape("grad_a", incoming.a, in.x.shape());
  Tensor<Scalar> skipped;
  const Tensor<Scalar>& x = entering(in, skipped);
  const Tensor<Scalar> mixed = mixed_of(in, x);
  Tensor<Scalar> g = rms_norm_backward(mixed, with_gates(incoming.a, incoming.a_gates));
  if (!mutated(Mutant::mix_norm_loses_stream_gradient)) {
    g = sum(incoming.mixed, std::move(g), "grad_mixed");
  }
  ResidualMixGradients<Scalar> mix = residual_mix_backward(x, in.x0, in.rho, in.lam, g);
  MixNormGradients<Scalar> grad = {std::move(mix.x), std::move(mix.x0), mix.rho, mix.lam};
  if (in.skips) {
    SkipGradients<Scalar> skip =
        skip_backward(in.x, in.x_skip, in.x0, in.w, in.theta,
                      mutated(Mutant::skip_mix_gradient_unscaled) ? g : grad.x);
    grad.x = std::move(skip.x);
    grad.x0 = sum(skip.x0, std::move(grad.x0), "skip");
    grad.x_skip = std::move(skip.x_skip);
    grad.w = std::move(skip.w);
    grad.theta = skip.theta;
  }
  grad.x = sum(incoming.x_before, std::move(grad.x), "grad_x_before");
  grad.x0 = sum(incoming.x0_before, std::move(grad.x0), "grad_x0_before");
  return grad;
}

#define INSTANTIATE(Scalar)                                                         \
  template MixNorm<Scalar> mix_norm(const MixNormInputs<Scalar>&);                  \
  template MixNormGradients<Scalar> mix_norm_backward(const MixNormInputs<Scalar>&, \
                                                      const MixNormIncoming<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
