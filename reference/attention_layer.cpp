#include "reference/attention_layer.h"

#include <algorithm>
#include <utility>

#include "reference/lambda_linear.h"
#include "reference/mutant.h"
#include "reference/output_gate.h"
#include "reference/rows.h"
#include "reference/scalar.h"
#include "reference/stored.h"
#include "reference/value_mix.h"

namespace pairedhead::reference {
namespace {

// The bank with O, its last C rows, as [in, out], where that mistake is planted; else empty.
template <class Scalar>
Tensor<Scalar> misread(const Tensor<Scalar>& qkvo) {
  if (!mutated(Mutant::output_projection_transposed)) return {};
  const Index width = qkvo.dim(1), first = 3 * width;
  Tensor<Scalar> result = qkvo;
  for (Index i = 0; i < width; ++i) {
    for (Index j = 0; j < width; ++j) result(first + j, i) = qkvo(first + i, j);
  }
  return result;
}

// Part s (q, k or v) of u, [T, 3C], as [T, H, D].
template <class Scalar>
Tensor<Scalar> part_of(const Tensor<Scalar>& u, Index part, Index heads) {
  const Index width = u.dim(1) / 3;
  auto x = Tensor<Scalar>::unwritten({u.dim(0), heads, width / heads});
  for (Index t = 0; t < u.dim(0); ++t) {
    std::copy_n(&u(t, part * width), width, &x(t, 0, 0));
  }
  return x;
}

// The inverse for all three.
template <class Scalar>
Tensor<Scalar> joined(const Tensor<Scalar>& q, const Tensor<Scalar>& k, const Tensor<Scalar>& v) {
  const Index tokens = q.dim(0), width = q.dim(1) * q.dim(2);
  auto u = Tensor<Scalar>::unwritten({tokens, 3 * width});
  for (Index t = 0; t < tokens; ++t) {
    std::copy_n(&q(t, 0, 0), width, &u(t, 0));
    std::copy_n(&k(t, 0, 0), width, &u(t, width));
    std::copy_n(&v(t, 0, 0), width, &u(t, 2 * width));
  }
  return u;
}

template <class Scalar>
void add(const Tensor<Scalar>& x, Tensor<Scalar>& sum) {
  for (Index i = 0; i < sum.size(); ++i) sum[i] += x[i];
}

// Wb[0:3C] and Wb[3C:4C], or these rows of its gradient, where they lie.
template <class Scalar>
RowView<Scalar> input_weights(const Tensor<Scalar>& qkvo) {
  return {qkvo, 0, qkvo.dim(0) / 4 * 3};
}
template <class Scalar>
RowSpan<Scalar> input_weights(Tensor<Scalar>& qkvo) {
  return {qkvo, 0, qkvo.dim(0) / 4 * 3};
}
template <class Scalar>
RowView<Scalar> output_weights(const Tensor<Scalar>& qkvo) {
  return {qkvo, qkvo.dim(0) / 4 * 3, qkvo.dim(0) / 4};
}
template <class Scalar>
RowSpan<Scalar> output_weights(Tensor<Scalar>& qkvo) {
  return {qkvo, qkvo.dim(0) / 4 * 3, qkvo.dim(0) / 4};
}

QkPrepareSettings prepare_settings(const AttentionLayerSettings& settings) {
  return {.normalise = true,
          .paired = settings.attention.pairing != Pairing::none,
          .shift_keys = settings.shift_keys};
}

// Undoes the shift's reach across the starts of documents, or takes its gradient away there.
template <class Scalar>
void reset_shift_at_documents(const Tensor<Scalar>& unshifted, const std::vector<Index>& cu_seqlens,
                              Tensor<Scalar>& key) {
  for (const Index start : cu_seqlens) {
    if (start < key.dim(0)) {
      std::copy_n(&unshifted(start, 0, 0), key.dim(1) * key.dim(2), &key(start, 0, 0));
    }
  }
}

template <class Scalar>
void check(const Tensor<Scalar>& a, const Tensor<Scalar>& value_embedding,
           const AttentionLayerWeights<Scalar>& weights, const AttentionLayerSettings& settings) {
  require_matrix("a", a);
  const Index width = a.dim(1);
  if (settings.heads < 1 || width % settings.heads != 0) {
    throw InputError("attention layer: expected a number of heads that divides " +
                     std::to_string(width) + " channels, got " + std::to_string(settings.heads));
  }
  require_shape("qkvo", weights.qkvo, {4 * width, width});
  if (value_embedding.size() > 0) require_shape("value embedding", value_embedding, a.shape());
}

}  // namespace

template <class Scalar>
Tensor<Scalar> attention_layer(const Tensor<Scalar>& a, const Tensor<Scalar>& value_embedding,
                               const AttentionLayerWeights<Scalar>& weights,
                               const RotaryFactors<Scalar>& factors,
                               const AttentionLayerSettings& settings, Rounding rounding,
                               AttentionLayerTape<Scalar>& tape) {
  check(a, value_embedding, weights, settings);
  const Tensor<Scalar> u = stored(
      lambda_linear(a, input_weights(weights.qkvo), weights.alpha, rounding.split(2)), rounding, 1);
  tape.raw = {part_of(u, 0, settings.heads), part_of(u, 1, settings.heads)};
  tape.raw_value = part_of(u, 2, settings.heads);

  tape.prepared = qk_prepare(tape.raw, factors.cosine, factors.sine, prepare_settings(settings));
  if (mutated(Mutant::shift_reset_at_documents) && settings.shift_keys) {
    auto unshifted = prepare_settings(settings);
    unshifted.shift_keys = false;
    reset_shift_at_documents(qk_prepare(tape.raw, factors.cosine, factors.sine, unshifted).key,
                             settings.attention.cu_seqlens, tape.prepared.key);
  }
  tape.prepared.query = stored(std::move(tape.prepared.query), rounding, 3);
  tape.prepared.key = stored(std::move(tape.prepared.key), rounding, 4);

  if (value_embedding.size() == 0) {
    tape.value = tape.raw_value;
  } else {
    Tensor<Scalar> added = value_embedding;
    if (mutated(Mutant::value_embedding_scaled_by_alpha)) {
      for (Scalar& x : added.values()) x *= weights.alpha;
    }
    tape.value = stored(value_mix(tape.raw_value, added, a, weights.value_gate), rounding, 5);
  }
  tape.y = stored(attention_forward(tape.prepared.query, tape.prepared.key, tape.value,
                                    settings.attention, rounding.split(7))
                      .y,
                  rounding, 6);
  tape.gated = stored(output_gate(tape.y, a, weights.gate), rounding, 8);
  const Tensor<Scalar> mistaken = misread(weights.qkvo);
  return lambda_linear(tape.gated.reshaped(a.shape()),
                       output_weights(mistaken.size() > 0 ? mistaken : weights.qkvo), weights.omega,
                       rounding.split(9));
}

template <class Scalar>
AttentionLayerGradients<Scalar> attention_layer_backward(
    const Tensor<Scalar>& a, const Tensor<Scalar>& value_embedding,
    const AttentionLayerWeights<Scalar>& weights, const RotaryFactors<Scalar>& factors,
    const AttentionLayerSettings& settings, const AttentionLayerTape<Scalar>& tape,
    const Tensor<Scalar>& grad_out, Rounding rounding) {
  check(a, value_embedding, weights, settings);
  require_shape("grad_out", grad_out, a.shape());
  AttentionLayerGradients<Scalar> grad;
  grad.qkvo = Tensor<Scalar>::unwritten(weights.qkvo.shape());

  const Tensor<Scalar> mistaken = misread(weights.qkvo);
  LambdaLinearGradients<Scalar> out = lambda_linear_backward(
      tape.gated.reshaped(a.shape()), output_weights(mistaken.size() > 0 ? mistaken : weights.qkvo),
      weights.omega, grad_out, rounding.split(9), output_weights(grad.qkvo));
  grad.omega = out.lambda;
  OutputGateGradients<Scalar> gate = output_gate_backward(
      tape.y, a, weights.gate, stored(std::move(out.a), rounding, 11).reshaped(tape.y.shape()));
  grad.gate = std::move(gate.w);

  AttentionGradients<Scalar> attention = attention_backward(
      tape.prepared.query, tape.prepared.key, tape.value, stored(std::move(gate.y), rounding, 12),
      settings.attention, rounding.split(7));
  attention.value = stored(std::move(attention.value), rounding, 13);
  QueryKey<Scalar> prepared = {stored(std::move(attention.query), rounding, 14),
                               stored(std::move(attention.key), rounding, 15)};
  QueryKey<Scalar> raw = qk_prepare_backward(tape.raw, std::move(prepared), factors.cosine,
                                             factors.sine, prepare_settings(settings));
  const Tensor<Scalar> grad_u = stored(joined(raw.query, raw.key, attention.value), rounding, 16);
  LambdaLinearGradients<Scalar> in =
      lambda_linear_backward(a, input_weights(weights.qkvo), weights.alpha, grad_u,
                             rounding.split(2), input_weights(grad.qkvo));
  grad.alpha = in.lambda;

  grad.a = std::move(in.a);
  if (!mutated(Mutant::output_gate_input_gradient_lost)) add(gate.a, grad.a);
  if (value_embedding.size() > 0) {
    ValueMixGradients<Scalar> mix =
        value_mix_backward(tape.raw_value, value_embedding, a, weights.value_gate, attention.value);
    add(mix.a, grad.a);
    grad.value_embedding = std::move(mix.ve);
    grad.value_gate = std::move(mix.w);
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                               \
  template Tensor<Scalar> attention_layer(                                                \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const AttentionLayerWeights<Scalar>&, \
      const RotaryFactors<Scalar>&, const AttentionLayerSettings&, Rounding,              \
      AttentionLayerTape<Scalar>&);                                                       \
  template AttentionLayerGradients<Scalar> attention_layer_backward(                      \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const AttentionLayerWeights<Scalar>&, \
      const RotaryFactors<Scalar>&, const AttentionLayerSettings&,                        \
      const AttentionLayerTape<Scalar>&, const Tensor<Scalar>&, Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
