#pragma once

#include "reference/attention.h"
#include "reference/qk_prepare.h"
#include "reference/rounding.h"
#include "reference/tensor.h"

// The attention half of a layer, from the normalised stream to what is added to it (SPEC §3.6.1-8,
// §3.7): QKV, QK norm, rotary, key shift, value embedding, attention, output gate, O.

namespace pairedhead::reference {

struct AttentionLayerSettings {
  Index heads = 6;              // H, of C / H channels
  AttentionSettings attention;  // pairing, window, kappa, documents
  bool shift_keys = false;
};

// Rotary factors as rotary_table makes them: [T, D], or [T, 2D] where heads are paired.
template <class Scalar>
struct RotaryFactors {
  Tensor<Scalar> cosine, sine;
};

template <class Scalar>
struct AttentionLayerWeights {
  const Tensor<Scalar>& qkvo;  // [4C, C], rows Q, K, V, O (SPEC §2.2)
  Tensor<Scalar> gate;         // [H, 12]
  Tensor<Scalar> value_gate;   // [H, 12]; empty where there is no value embedding
  Scalar alpha, omega;         // on the weights of Q, K, V and of O
};

// What the backward pass reads of the forward pass.
template <class Scalar>
struct AttentionLayerTape {
  QueryKey<Scalar> raw, prepared;   // before and after norm, rotary and shift, [T, H, D]
  Tensor<Scalar> raw_value, value;  // before and after the value embedding, [T, H, D]
  Tensor<Scalar> y, gated;          // attention's output, and gated, [T, H, D]
};

// a: [T, C], the normalised stream; value_embedding: [T, C], or empty; result: [T, C].
// M points: W' of both projections, u = QKV, q and k after rotary and shift, the mixed values, y,
// gated y. Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> attention_layer(const Tensor<Scalar>& a, const Tensor<Scalar>& value_embedding,
                               const AttentionLayerWeights<Scalar>& weights,
                               const RotaryFactors<Scalar>& factors,
                               const AttentionLayerSettings& settings, Rounding rounding,
                               AttentionLayerTape<Scalar>& tape);

template <class Scalar>
struct AttentionLayerGradients {
  Tensor<Scalar> a, value_embedding;      // [T, C]; the second empty where there is none
  Tensor<Scalar> qkvo, gate, value_gate;  // as the weights
  Scalar alpha, omega;
};
// SPEC §5. grad_out: [T, C]; tape: what attention_layer left, with the same rounding. M points:
// those of lambda_linear_backward and attention_backward, d(gated), dy, dq, dk, dv, du.
template <class Scalar>
AttentionLayerGradients<Scalar> attention_layer_backward(
    const Tensor<Scalar>& a, const Tensor<Scalar>& value_embedding,
    const AttentionLayerWeights<Scalar>& weights, const RotaryFactors<Scalar>& factors,
    const AttentionLayerSettings& settings, const AttentionLayerTape<Scalar>& tape,
    const Tensor<Scalar>& grad_out, Rounding rounding);

}  // namespace pairedhead::reference
