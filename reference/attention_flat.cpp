#include <algorithm>
#include <cmath>

#include "reference/attention.h"
#include "reference/interleave.h"
#include "reference/scalar.h"
#include "reference/visibility.h"

// The flat formulation of SPEC §3.7, the one that kernels use. It shares nothing with
// reference/attention.cpp but the check of its arguments, so that their agreement means something.

namespace pairedhead::reference {
namespace {

using pairedhead::exp;
using pairedhead::log;
using std::exp;
using std::log;

// Plain attention on rows: row R of slot j sees rows [R - window, R] of its document, rows counted
// by row_documents. query, key, value: [R, J, D].
template <class Scalar>
AttentionForward<Scalar> causal_attention(const Tensor<Scalar>& query, const Tensor<Scalar>& key,
                                          const Tensor<Scalar>& value,
                                          const std::vector<Index>& row_documents, Index window,
                                          double softmax_scale) {
  const Index slots = query.dim(1), head_dim = query.dim(2);
  AttentionForward<Scalar> result{Tensor<Scalar>(query.shape()),
                                  Tensor<Scalar>({query.dim(0), slots, 1})};
  for (std::size_t n = 0; n + 1 < row_documents.size(); ++n) {
    for (Index row = row_documents[n]; row < row_documents[n + 1]; ++row) {
      const Index first = std::max(row_documents[n], row - window);
      for (Index slot = 0; slot < slots; ++slot) {
        std::vector<Scalar> scores;
        for (Index s = first; s <= row; ++s) {
          Scalar product(0);
          for (Index d = 0; d < head_dim; ++d) product += query(row, slot, d) * key(s, slot, d);
          scores.push_back(product * Scalar(softmax_scale));
        }
        const Scalar maximum = *std::max_element(scores.begin(), scores.end());
        Scalar sum(0);
        for (Scalar& score : scores) sum += score = exp(score - maximum);
        for (Index s = first; s <= row; ++s) {
          const Scalar probability = scores[static_cast<std::size_t>(s - first)] / sum;
          for (Index d = 0; d < head_dim; ++d) {
            result.y(row, slot, d) += probability * value(s, slot, d);
          }
        }
        result.logsumexp(row, slot, 0) = log(sum) + maximum;
      }
    }
  }
  return result;
}

}  // namespace

template <class Scalar>
AttentionForward<Scalar> attention_forward_flat(const Tensor<Scalar>& query,
                                                const Tensor<Scalar>& key,
                                                const Tensor<Scalar>& value,
                                                const AttentionSettings& settings) {
  require_heads("q", query);
  require_shape("k", key, query.shape());
  require_shape("v", value, query.shape());
  check_attention(query.dim(0), query.dim(1), settings);
  const Pairing pairing = settings.pairing;
  AttentionForward<Scalar> result;
  if (pairing == Pairing::none) {
    result = causal_attention(query, key, value, settings.cu_seqlens, settings.window,
                              settings.softmax_scale);
  } else {
    std::vector<Index> doubled = settings.cu_seqlens;
    for (Index& entry : doubled) entry *= 2;
    result = causal_attention(interleave(query, pairing), interleave(key, pairing),
                              interleave(value, pairing), doubled, settings.window,
                              settings.softmax_scale);
    result.y = deinterleave(result.y, pairing);
    result.logsumexp = deinterleave(result.logsumexp, pairing);
  }
  Tensor<Scalar> logsumexp({query.dim(0), query.dim(1)});
  std::copy_n(result.logsumexp.data(), logsumexp.size(), logsumexp.data());
  result.logsumexp = std::move(logsumexp);
  return result;
}

#define INSTANTIATE(Scalar)                                                \
  template AttentionForward<Scalar> attention_forward_flat(                \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, \
      const AttentionSettings&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
