#pragma once

#include <vector>

#include "reference/pairing.h"
#include "reference/rounding.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// What attention is told besides its tensors (SPEC §3.6.6, §3.7).
struct AttentionSettings {
  Pairing pairing = Pairing::none;
  Index window = 0;            // w: plain in tokens; paired in flat rows, never doubled; >= 1
  double softmax_scale = 0.1;  // kappa
  // Document boundaries in tokens: cu_seqlens[0] = 0, non-decreasing, last = T. Repeated entries
  // are empty documents.
  std::vector<Index> cu_seqlens;
};

template <class Scalar>
struct AttentionForward {
  Tensor<Scalar> y;          // [T, H, D], rows named by token and head in both pairings
  Tensor<Scalar> logsumexp;  // [T, H], natural log of the softmax denominator, kappa included
};

template <class Scalar>
struct AttentionGradients {
  Tensor<Scalar> query, key, value;  // [T, H, D] each
};

// SPEC §3.6.6 and §3.7, by meaning: for the query (t, h) the softmax runs over the (token, head)
// pairs that reference/visibility.h calls visible. query, key, value: [T, H, D].
// M points: exp(score - row maximum) for the product with the values (not for the row sum).
// Throws InputError on shapes that differ, odd H with a pairing, window < 1 or a bad cu_seqlens.
template <class Scalar>
AttentionForward<Scalar> attention_forward(const Tensor<Scalar>& query, const Tensor<Scalar>& key,
                                           const Tensor<Scalar>& value,
                                           const AttentionSettings& settings, Rounding rounding);

// SPEC §5. grad_y: [T, H, D]. M points: those of the forward pass inside y, y itself (for delta), P
// (for the value gradient), dS (for the query and key gradients).
template <class Scalar>
AttentionGradients<Scalar> attention_backward(const Tensor<Scalar>& query,
                                              const Tensor<Scalar>& key,
                                              const Tensor<Scalar>& value,
                                              const Tensor<Scalar>& grad_y,
                                              const AttentionSettings& settings, Rounding rounding);

// The second formulation (SPEC §3.7, the flat view): interleave to [2T, H/2, D], plain causal
// windowed attention with doubled cu_seqlens and an undoubled window, deinterleave. Exact only. A
// property holds it against attention_forward.
template <class Scalar>
AttentionForward<Scalar> attention_forward_flat(const Tensor<Scalar>& query,
                                                const Tensor<Scalar>& key,
                                                const Tensor<Scalar>& value,
                                                const AttentionSettings& settings);

}  // namespace pairedhead::reference
