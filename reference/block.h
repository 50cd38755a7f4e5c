#pragma once

#include "reference/attention_layer.h"
#include "reference/mlp.h"

// One layer of the trunk (SPEC §3.3.1-4): skip, mix, attention, MLP.

namespace pairedhead::reference {

struct BlockSettings {
  bool attention = true;  // a layer without it is an MLP only
  bool skip = false;      // x_skip joins before the mix
  AttentionLayerSettings layer;
};

// Streams that a layer reads, [T, C] each.
template <class Scalar>
struct BlockStreams {
  const Tensor<Scalar>& x;
  const Tensor<Scalar>& x0;
  const Tensor<Scalar>& x_skip;           // unread without settings.skip
  const Tensor<Scalar>& value_embedding;  // empty, or added to the values
};

template <class Scalar>
struct BlockWeights {
  const Tensor<Scalar>& c_fc;           // [F, C]
  const Tensor<Scalar>& c_proj;         // [F, C], hidden x out
  Scalar rho, lam;                      // of the mix
  AttentionLayerWeights<Scalar> layer;  // unread without attention
  const Tensor<Scalar>& skip_gate;      // [1, 12]; unread without skip
  Scalar theta;                         // the skip lambda
};

template <class Scalar>
struct BlockTape {
  Tensor<Scalar> mixed;  // after skip and mix
  Tensor<Scalar> a;      // rms(mixed), attention's input
  AttentionLayerTape<Scalar> layer;
  Tensor<Scalar> attended;   // after attention's output is added
  Tensor<Scalar> mlp_input;  // rms(attended); a without attention
  MlpTape<Scalar> mlp;
};

// The stream after the layer, [T, C]. M points: the stream after the mix and after attention, which
// several kernels read; both normalised inputs, both outputs before they are added, and those of
// attention_layer and mlp. None lies inside mix_norm, the layer's entry.
template <class Scalar>
Tensor<Scalar> block(const BlockStreams<Scalar>& streams, const BlockWeights<Scalar>& weights,
                     const RotaryFactors<Scalar>& factors, const BlockSettings& settings,
                     Rounding rounding, BlockTape<Scalar>& tape);

// Empty where the layer has no such part.
template <class Scalar>
struct BlockGradients {
  Tensor<Scalar> x, x0, x_skip;
  Tensor<Scalar> c_fc, c_proj, skip_gate;
  Scalar rho, lam, theta;
  AttentionLayerGradients<Scalar> layer;
};
// grad_out: [T, C]; tape: what block left, with the same rounding. M points: the gradients of both
// normalised inputs, that of the stream after attention, and those of the parts; none inside
// mix_norm_backward.
template <class Scalar>
BlockGradients<Scalar> block_backward(const BlockStreams<Scalar>& streams,
                                      const BlockWeights<Scalar>& weights,
                                      const RotaryFactors<Scalar>& factors,
                                      const BlockSettings& settings, const BlockTape<Scalar>& tape,
                                      const Tensor<Scalar>& grad_out, Rounding rounding);

}  // namespace pairedhead::reference
