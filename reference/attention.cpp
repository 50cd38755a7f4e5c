#include "reference/attention.h"

#include <algorithm>
#include <cmath>

#include "reference/dot.h"
#include "reference/exponentials.h"
#include "reference/mutant.h"
#include "reference/scalar.h"
#include "reference/visibility.h"

namespace pairedhead::reference {
namespace {

using pairedhead::log;
using std::log;

template <class Scalar>
void add_scaled(Scalar* __restrict sum, Scalar factor, const Scalar* __restrict x, Index count) {
  for (Index d = 0; d < count; ++d) sum[d] += factor * x[d];
}

// The tensors of one call. Row (token, head) of each is contiguous.
template <class Scalar>
struct Problem {
  const Tensor<Scalar>& query;
  const Tensor<Scalar>& key;
  const Tensor<Scalar>& value;
  const AttentionSettings& settings;
  Index tokens, heads, head_dim;
  Scalar scale;

  Index row(TokenHead at) const { return (at.token * heads + at.head) * head_dim; }
};

template <class Scalar>
Problem<Scalar> checked_problem(const Tensor<Scalar>& query, const Tensor<Scalar>& key,
                                const Tensor<Scalar>& value, const AttentionSettings& settings) {
  require_heads("q", query);
  require_shape("k", key, query.shape());
  require_shape("v", value, query.shape());
  check_attention(query.dim(0), query.dim(1), settings);
  double scale = settings.softmax_scale;
  if (mutated(Mutant::softmax_scale_root_of_width)) {
    scale = 1 / std::sqrt(static_cast<double>(query.dim(2)));
  }
  return {query, key, value, settings, query.dim(0), query.dim(1), query.dim(2), Scalar(scale)};
}

// The softmax of one query. The buffers are reused from query to query.
template <class Scalar>
struct SoftmaxRow {
  std::vector<TokenHead> keys;  // those that the query sees
  std::vector<Scalar> scores;   // kappa included, one a key
  std::vector<Scalar> weights;  // e^(score - maximum)
  Scalar sum, logsumexp;
  std::vector<Scalar> y;  // [D]
};

// Where a key's value is read.
template <class Scalar>
Index value_row(const Problem<Scalar>& problem, TokenHead query, TokenHead key) {
  if (mutated(Mutant::partner_value_from_own_head)) key.head = query.head;
  return problem.row(key);
}

// e^(score - base) of each.
template <class Scalar>
void exponentials_over(const Scalar& base, const std::vector<Scalar>& scores,
                       std::vector<Scalar>& result) {
  result = scores;
  for (Scalar& value : result) value -= base;
  exponentials(result.data(), static_cast<Index>(result.size()));
}

template <class Scalar>
void attend(const Problem<Scalar>& problem, TokenHead at, Rounding& rounding,
            SoftmaxRow<Scalar>& row) {
  const Index head_dim = problem.head_dim;
  list_visible_keys(at.token, at.head, problem.heads, problem.settings, row.keys);

  const Scalar* query = problem.query.data() + problem.row(at);
  row.scores.clear();
  for (const TokenHead key : row.keys) {
    row.scores.push_back(problem.scale *
                         dot(query, problem.key.data() + problem.row(key), head_dim));
  }
  const Scalar maximum = *std::max_element(row.scores.begin(), row.scores.end());

  exponentials_over(maximum, row.scores, row.weights);
  row.sum = Scalar(0);
  row.y.assign(static_cast<std::size_t>(head_dim), Scalar(0));
  for (std::size_t i = 0; i < row.keys.size(); ++i) {
    row.sum += row.weights[i];
    add_scaled(row.y.data(), rounding.bf16(row.weights[i]),
               problem.value.data() + value_row(problem, at, row.keys[i]), head_dim);
  }
  for (Scalar& y : row.y) y = y / row.sum;
  row.logsumexp = maximum + log(row.sum);
}

// What is stored of it, apart from what the backward pass uses.
template <class Scalar>
Scalar stored_logsumexp(const SoftmaxRow<Scalar>& row) {
  if (mutated(Mutant::logsumexp_without_maximum)) return log(row.sum);
  if (mutated(Mutant::logsumexp_in_base_two)) {
    return row.logsumexp / log(Scalar(2));
  }
  return row.logsumexp;
}

}  // namespace

template <class Scalar>
AttentionForward<Scalar> attention_forward(const Tensor<Scalar>& query, const Tensor<Scalar>& key,
                                           const Tensor<Scalar>& value,
                                           const AttentionSettings& settings, Rounding rounding) {
  const Problem<Scalar> problem = checked_problem(query, key, value, settings);
  AttentionForward<Scalar> result{Tensor<Scalar>::unwritten(query.shape()),
                                  Tensor<Scalar>({problem.tokens, problem.heads})};
  SoftmaxRow<Scalar> row;
  for (Index t = 0; t < problem.tokens; ++t) {
    for (Index h = 0; h < problem.heads; ++h) {
      attend(problem, {t, h}, rounding, row);
      std::copy(row.y.begin(), row.y.end(), &result.y(t, h, 0));
      result.logsumexp(t, h) = stored_logsumexp(row);
    }
  }
  return result;
}

template <class Scalar>
AttentionGradients<Scalar> attention_backward(
    const Tensor<Scalar>& query, const Tensor<Scalar>& key, const Tensor<Scalar>& value,
    const Tensor<Scalar>& grad_y, const AttentionSettings& settings, Rounding rounding) {
  const Problem<Scalar> problem = checked_problem(query, key, value, settings);
  require_shape("grad_y", grad_y, query.shape());
  const Index head_dim = problem.head_dim;
  AttentionGradients<Scalar> grad{Tensor<Scalar>(query.shape()), Tensor<Scalar>(query.shape()),
                                  Tensor<Scalar>(query.shape())};
  SoftmaxRow<Scalar> row;
  std::vector<Scalar> probabilities;
  Scalar other_delta(0);
  for (Index t = 0; t < problem.tokens; ++t) {
    for (Index h = 0; h < problem.heads; ++h) {
      const TokenHead at{t, h};
      attend(problem, at, rounding, row);
      const Scalar* g = grad_y.data() + problem.row(at);

      for (Scalar& y : row.y) y = rounding.bf16(y);
      Scalar delta = dot(g, row.y.data(), head_dim);
      if (mutated(Mutant::delta_missing)) delta = Scalar(0);
      if (mutated(Mutant::delta_of_other_row)) std::swap(delta, other_delta);

      exponentials_over(row.logsumexp, row.scores, probabilities);
      for (std::size_t i = 0; i < row.keys.size(); ++i) {
        const TokenHead source = row.keys[i];
        const Index key_at = problem.row(source);
        const Index value_at = value_row(problem, at, source);
        const Scalar& probability = probabilities[i];
        const Scalar grad_probability = dot(g, problem.value.data() + value_at, head_dim);
        Scalar grad_score = probability * (grad_probability - delta);
        if (mutated(Mutant::grad_score_without_probability)) grad_score = grad_probability - delta;
        grad_score = rounding.bf16(grad_score);

        if (mutated(Mutant::value_gradient_keeps_last_query)) {
          std::fill_n(grad.value.data() + value_at, head_dim, Scalar(0));
        }
        if (source.head == h || !mutated(Mutant::value_gradient_ignores_partner)) {
          add_scaled(grad.value.data() + value_at, rounding.bf16(probability), g, head_dim);
        }
        add_scaled(grad.query.data() + problem.row(at), grad_score, key.data() + key_at, head_dim);
        if (source.head == h || !mutated(Mutant::key_gradient_ignores_partner)) {
          add_scaled(grad.key.data() + key_at, grad_score, query.data() + problem.row(at),
                     head_dim);
        }
      }
    }
  }
  for (Scalar& g : grad.query.values()) {
    if (!mutated(Mutant::query_gradient_misses_scale)) g = problem.scale * g;
  }
  for (Scalar& g : grad.key.values()) {
    if (!mutated(Mutant::key_gradient_misses_scale)) g = problem.scale * g;
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                       \
  template AttentionForward<Scalar> attention_forward(                                            \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&,                        \
      const AttentionSettings&, Rounding);                                                        \
  template AttentionGradients<Scalar> attention_backward(                                         \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, \
      const AttentionSettings&, Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
