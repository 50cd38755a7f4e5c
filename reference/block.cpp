#include "reference/block.h"

#include "reference/mlp.h"
#include "reference/mutant.h"
#include "reference/residual_mix.h"
#include "reference/rms_norm.h"
#include "reference/scalar.h"
#include "reference/skip.h"
#include "reference/stored.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
Tensor<Scalar> sum(const Tensor<Scalar>& a, Tensor<Scalar> b) {
  require_shape("summand", b, a.shape());
  for (Index i = 0; i < b.size(); ++i) b[i] = a[i] + b[i];
  return b;
}

template <class Scalar>
Tensor<Scalar> with_skip(const Tensor<Scalar>& x, const BlockStreams<Scalar>& streams,
                         const BlockWeights<Scalar>& weights) {
  return skip(x, streams.x_skip, streams.x0, weights.skip_gate, weights.theta);
}

// What the gates of the attention half read.
template <class Scalar>
const Tensor<Scalar>& attention_input(const BlockTape<Scalar>& tape) {
  return mutated(Mutant::attention_without_norm) ? tape.mixed : tape.a;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> block(const BlockStreams<Scalar>& streams, const BlockWeights<Scalar>& weights,
                     const RotaryFactors<Scalar>& factors, const BlockSettings& settings,
                     Rounding rounding, BlockTape<Scalar>& tape) {
  const bool skip_first = settings.skip && !mutated(Mutant::skip_after_mix);
  if (skip_first) tape.skipped = stored(with_skip(streams.x, streams, weights), rounding, 12);
  tape.mixed =
      residual_mix(skip_first ? tape.skipped : streams.x, streams.x0, weights.rho, weights.lam);
  if (settings.skip && !skip_first) {
    tape.skipped = streams.x;
    tape.mixed = with_skip(tape.mixed, streams, weights);
  }
  tape.mixed = stored(std::move(tape.mixed), rounding, 10);

  tape.attended = tape.mixed;
  if (settings.attention) {
    tape.a = stored(rms_norm(tape.mixed), rounding, 1);
    Tensor<Scalar> out =
        attention_layer(attention_input(tape), streams.value_embedding, weights.layer, factors,
                        settings.layer, rounding.split(2), tape.layer);
    tape.attended = stored(sum(tape.mixed, stored(std::move(out), rounding, 3)), rounding, 11);
  }
  tape.mlp_input = stored(
      rms_norm(mutated(Mutant::mlp_beside_attention) ? tape.mixed : tape.attended), rounding, 4);
  Tensor<Scalar> out = mlp(tape.mlp_input, weights.c_fc, weights.c_proj, rounding.split(5));
  return sum(tape.attended, stored(std::move(out), rounding, 6));
}

template <class Scalar>
BlockGradients<Scalar> block_backward(const BlockStreams<Scalar>& streams,
                                      const BlockWeights<Scalar>& weights,
                                      const RotaryFactors<Scalar>& factors,
                                      const BlockSettings& settings, const BlockTape<Scalar>& tape,
                                      const Tensor<Scalar>& grad_out, Rounding rounding) {
  BlockGradients<Scalar> grad;
  MlpGradients<Scalar> mlp =
      mlp_backward(tape.mlp_input, weights.c_fc, weights.c_proj, grad_out, rounding.split(5));
  grad.c_fc = std::move(mlp.c_fc);
  grad.c_proj = std::move(mlp.c_proj);
  Tensor<Scalar> grad_x = rms_norm_backward(tape.attended, stored(std::move(mlp.a), rounding, 7));
  if (!mutated(Mutant::residual_gradient_lost)) grad_x = sum(grad_out, std::move(grad_x));

  if (settings.attention) {
    grad_x = stored(std::move(grad_x), rounding, 8);
    grad.layer = attention_layer_backward(tape.a, streams.value_embedding, weights.layer, factors,
                                          settings.layer, tape.layer, grad_x, rounding.split(2));
    Tensor<Scalar> grad_a = stored(std::move(grad.layer.a), rounding, 9);
    grad_x = sum(grad_x, rms_norm_backward(tape.mixed, grad_a));
  }

  grad_x = stored(std::move(grad_x), rounding, 13);
  ResidualMixGradients<Scalar> mix = residual_mix_backward(
      settings.skip ? tape.skipped : streams.x, streams.x0, weights.rho, weights.lam, grad_x);
  grad.rho = mix.rho;
  grad.lam = mix.lam;
  grad.x = std::move(mix.x);
  grad.x0 = std::move(mix.x0);
  if (settings.skip) {
    SkipGradients<Scalar> skip =
        skip_backward(streams.x, streams.x_skip, streams.x0, weights.skip_gate, weights.theta,
                      stored(std::move(grad.x), rounding, 14));
    grad.x = std::move(skip.x);
    grad.x_skip = std::move(skip.x_skip);
    grad.x0 = sum(grad.x0, std::move(skip.x0));
    grad.skip_gate = std::move(skip.w);
    grad.theta = skip.theta;
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                   \
  template Tensor<Scalar> block(const BlockStreams<Scalar>&, const BlockWeights<Scalar>&,     \
                                const RotaryFactors<Scalar>&, const BlockSettings&, Rounding, \
                                BlockTape<Scalar>&);                                          \
  template BlockGradients<Scalar> block_backward(                                             \
      const BlockStreams<Scalar>&, const BlockWeights<Scalar>&, const RotaryFactors<Scalar>&, \
      const BlockSettings&, const BlockTape<Scalar>&, const Tensor<Scalar>&, Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
