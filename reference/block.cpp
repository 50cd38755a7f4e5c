#include "reference/block.h"

#include "reference/mix_norm.h"
#include "reference/mutant.h"
#include "reference/rms_norm.h"
#include "reference/scalar.h"
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
MixNormInputs<Scalar> entry_of(const BlockStreams<Scalar>& streams,
                               const BlockWeights<Scalar>& weights, const BlockSettings& settings) {
  MixNormInputs<Scalar> entry = {streams.x, streams.x0, weights.rho, weights.lam};
  if (!settings.skip) return entry;
  entry.skips = true;
  entry.x_skip = streams.x_skip;
  entry.w = weights.skip_gate;
  entry.theta = weights.theta;
  return entry;
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
  MixNorm<Scalar> entry = mix_norm(entry_of(streams, weights, settings));
  tape.mixed = stored(std::move(entry.mixed), rounding, 10);
  tape.a = stored(std::move(entry.a), rounding, 1);

  if (!settings.attention || mutated(Mutant::mlp_beside_attention)) tape.mlp_input = tape.a;
  if (!settings.attention) {
    tape.attended = tape.mixed;
  } else {
    Tensor<Scalar> out =
        attention_layer(attention_input(tape), streams.value_embedding, weights.layer, factors,
                        settings.layer, rounding.split(2), tape.layer);
    tape.attended = stored(sum(tape.mixed, stored(std::move(out), rounding, 3)), rounding, 11);
    if (!mutated(Mutant::mlp_beside_attention)) {
      tape.mlp_input = stored(rms_norm(tape.attended), rounding, 4);
    }
  }
  Tensor<Scalar> out =
      mlp(tape.mlp_input, weights.c_fc, weights.c_proj, rounding.split(5), tape.mlp);
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
      mlp_backward(tape.mlp_input, weights.c_fc, weights.c_proj, grad_out, tape.mlp);
  grad.c_fc = std::move(mlp.c_fc);
  grad.c_proj = std::move(mlp.c_proj);

  MixNormIncoming<Scalar> incoming = {.mixed = grad_out,
                                      .a = stored(std::move(mlp.a), rounding, 7)};
  if (settings.attention) {
    Tensor<Scalar> grad_attended = rms_norm_backward(tape.attended, incoming.a);
    if (!mutated(Mutant::residual_gradient_lost)) {
      grad_attended = sum(grad_out, std::move(grad_attended));
    }
    incoming.mixed = stored(std::move(grad_attended), rounding, 8);
    grad.layer =
        attention_layer_backward(tape.a, streams.value_embedding, weights.layer, factors,
                                 settings.layer, tape.layer, incoming.mixed, rounding.split(2));
    incoming.a = stored(std::move(grad.layer.a), rounding, 9);
  }

  MixNormGradients<Scalar> entry =
      mix_norm_backward(entry_of(streams, weights, settings), incoming);
  grad.x = std::move(entry.x);
  grad.x0 = std::move(entry.x0);
  grad.rho = entry.rho;
  grad.lam = entry.lam;
  grad.x_skip = std::move(entry.x_skip);
  grad.skip_gate = std::move(entry.w);
  grad.theta = entry.theta;
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
