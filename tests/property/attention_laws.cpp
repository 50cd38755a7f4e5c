#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

#include "reference/visibility.h"
#include "tests/property/attention_case.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

const CaseLimits paired_only{.pairings = {Pairing::strided, Pairing::adjacent}};

void assert_meaning_agrees_with_flat(const AttentionCase& c) {
  const AttentionInputs x = draw_inputs(c);
  const auto meaning = forward(x, c.settings);
  const auto flat = attention_forward_flat(x.q, x.k, x.v, c.settings);
  const auto terms = attention_forward(cast<Magnitude>(x.q), cast<Magnitude>(x.k),
                                       cast<Magnitude>(x.v), c.settings, Rounding::exact());
  for (Index i = 0; i < meaning.y.size(); ++i) {
    RC_ASSERT(std::abs(meaning.y[i] - flat.y[i]) <= 1e-12 * terms.y[i].magnitude);
  }
  for (Index i = 0; i < meaning.logsumexp.size(); ++i) {
    RC_ASSERT(std::abs(meaning.logsumexp[i] - flat.logsumexp[i]) <=
              1e-12 * terms.logsumexp[i].magnitude);
  }
}

RC_GTEST_PROP(AttentionLaws, MeaningAgreesWithTheFlatFormulation, ()) {
  assert_meaning_agrees_with_flat(*attention_cases());
}

// Documents longer than a tile of any kernel, so that windows end inside and beyond it.
RC_GTEST_PROP(AttentionLaws, MeaningAgreesWithTheFlatFormulationOverLongDocuments, ()) {
  assert_meaning_agrees_with_flat(*attention_cases({.longest_document = 80, .head_dims = {16}}));
}

// y is linear in the values, and dv is the transposed map.
RC_GTEST_PROP(AttentionLaws, ValueGradientIsTheAdjoint, ()) {
  const AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  InnerProduct forwards, backwards;
  forwards.add(x.g, forward(x, c.settings).y);
  backwards.add(backward(x, c.settings).value, x.v);
  RC_ASSERT(disagreement(forwards, backwards) <= certified_limit);
}

RC_GTEST_PROP(AttentionLaws, BackwardIsTheTransposedDerivative, ()) {
  const AttentionCase c = *attention_cases({.longest_document = 5});
  const AttentionInputs x = draw_inputs(c);
  Random random(c.seed + 1);
  const Tensor<double> dq = normal_tensor(c.shape(), random), dk = normal_tensor(c.shape(), random);
  const Tensor<double> dv = normal_tensor(c.shape(), random);
  InnerProduct forwards, backwards;
  forwards.add(x.g, attention_forward(dual(x.q, dq), dual(x.k, dk), dual(x.v, dv), c.settings,
                                      Rounding::exact())
                        .y);
  const auto grad = backward(x, c.settings);
  backwards.add(grad.query, dq);
  backwards.add(grad.key, dk);
  backwards.add(grad.value, dv);
  RC_ASSERT(disagreement(forwards, backwards) <= certified_limit);
}

AttentionInputs reorder_heads(const AttentionInputs& x, const std::vector<Index>& order) {
  return {testing::reorder_heads(x.q, order), testing::reorder_heads(x.k, order),
          testing::reorder_heads(x.v, order), testing::reorder_heads(x.g, order)};
}

void assert_reordered(const AttentionInputs& x, const AttentionSettings& settings,
                      const std::vector<Index>& order, const AttentionSettings& other) {
  const AttentionInputs moved = reorder_heads(x, order);
  const auto y = forward(x, settings), moved_y = forward(moved, other);
  const auto grad = backward(x, settings), moved_grad = backward(moved, other);
  RC_ASSERT(same(testing::reorder_heads(y.y, order), moved_y.y));
  RC_ASSERT(same(testing::reorder_heads(y.logsumexp, order), moved_y.logsumexp));
  RC_ASSERT(same(testing::reorder_heads(grad.query, order), moved_grad.query));
  RC_ASSERT(same(testing::reorder_heads(grad.key, order), moved_grad.key));
  RC_ASSERT(same(testing::reorder_heads(grad.value, order), moved_grad.value));
}

// Which slot a pair sits in, or which head a plain softmax is, changes nothing.
RC_GTEST_PROP(AttentionLaws, SlotsMayBePermuted, ()) {
  const AttentionCase c = *attention_cases();
  const Index heads = c.heads, slots = c.settings.pairing == Pairing::none ? heads : heads / 2;
  std::vector<Index> slot(static_cast<std::size_t>(slots));
  std::iota(slot.begin(), slot.end(), 0);
  Random random(c.seed + 1);
  for (Index i = slots - 1; i > 0; --i) {
    std::swap(slot[static_cast<std::size_t>(i)],
              slot[static_cast<std::size_t>(random.integer(0, i))]);
  }
  std::vector<Index> order;
  for (Index h = 0; h < heads; ++h) {
    switch (c.settings.pairing) {
      case Pairing::none:
        order.push_back(slot[static_cast<std::size_t>(h)]);
        break;
      case Pairing::strided:
        order.push_back(h / slots * slots + slot[static_cast<std::size_t>(h % slots)]);
        break;
      case Pairing::adjacent:
        order.push_back(2 * slot[static_cast<std::size_t>(h / 2)] + h % 2);
        break;
    }
  }
  assert_reordered(draw_inputs(c), c.settings, order, c.settings);
}

// SPEC §15: both pairings are one attention over views with other strides.
RC_GTEST_PROP(AttentionLaws, PairingsDifferInTheNamesOfTheHeadsOnly, ()) {
  const AttentionCase c = *attention_cases({.pairings = {Pairing::strided}});
  std::vector<Index> order;  // strided head of each adjacent head
  for (Index h = 0; h < c.heads; ++h) order.push_back(h % 2 * (c.heads / 2) + h / 2);
  AttentionSettings adjacent = c.settings;
  adjacent.pairing = Pairing::adjacent;
  assert_reordered(draw_inputs(c), c.settings, order, adjacent);
}

// Paired attention of heads (h, h*) with one of them silenced is plain attention of the other over
// doubled distances: rows that carry no weight leave no trace.
RC_GTEST_PROP(AttentionLaws, WithoutThePartnerPairedIsPlainWithHalfTheWindow, ()) {
  AttentionCase c = *attention_cases(paired_only);
  AttentionInputs x = draw_inputs(c);
  // Scores of partner keys far below all others: exp underflows to an exact zero.
  const Index D = c.head_dim;
  for (Index t = 0; t < c.tokens(); ++t) {
    for (Index h = 0; h < c.heads; ++h) {
      const Index row = row_in_pair(h, c.heads, c.settings.pairing);
      x.q(t, h, D - 2) = row == 0 ? 1 : 0;
      x.q(t, h, D - 1) = row == 0 ? 0 : 1;
      x.k(t, h, D - 2) = row == 0 ? 0 : -1e5;
      x.k(t, h, D - 1) = row == 0 ? -1e5 : 0;
    }
  }
  AttentionSettings plain = c.settings;
  plain.pairing = Pairing::none;
  plain.window = c.settings.window / 2;
  RC_PRE(plain.window >= 1);
  RC_ASSERT(same(forward(x, c.settings).y, forward(x, plain).y));
  RC_ASSERT(same(forward(x, c.settings).logsumexp, forward(x, plain).logsumexp));
}

RC_GTEST_PROP(AttentionLaws, OutputsDoNotSeeTheFuture, ()) {
  const AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  const Index cut = *rc::gen::inRange<Index>(0, c.tokens() + 1);
  AttentionInputs changed = x;
  for (Tensor<double>* tensor : {&changed.q, &changed.k, &changed.v}) {
    const Index first = cut * c.heads * c.head_dim;
    for (Index i = first; i < tensor->size(); ++i) (*tensor)[i] = 1 - 3 * (*tensor)[i];
  }
  const auto before = forward(x, c.settings), after = forward(changed, c.settings);
  RC_ASSERT(same(tokens_of(before.y, 0, cut), tokens_of(after.y, 0, cut)));
  RC_ASSERT(same(tokens_of(before.logsumexp, 0, cut), tokens_of(after.logsumexp, 0, cut)));
}

RC_GTEST_PROP(AttentionLaws, ADocumentIsTheSameAloneAndPacked, ()) {
  const AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  const auto packed = forward(x, c.settings);
  const auto packed_grad = backward(x, c.settings);
  const std::vector<Index>& cu = c.settings.cu_seqlens;
  for (std::size_t n = 0; n + 1 < cu.size(); ++n) {
    const Index first = cu[n], last = cu[n + 1];
    if (first == last) continue;
    const AttentionInputs alone = {tokens_of(x.q, first, last), tokens_of(x.k, first, last),
                                   tokens_of(x.v, first, last), tokens_of(x.g, first, last)};
    AttentionSettings settings = c.settings;
    settings.cu_seqlens = {0, last - first};
    const auto y = forward(alone, settings);
    const auto grad = backward(alone, settings);
    RC_ASSERT(same(tokens_of(packed.y, first, last), y.y));
    RC_ASSERT(same(tokens_of(packed.logsumexp, first, last), y.logsumexp));
    RC_ASSERT(same(tokens_of(packed_grad.query, first, last), grad.query));
    RC_ASSERT(same(tokens_of(packed_grad.key, first, last), grad.key));
    RC_ASSERT(same(tokens_of(packed_grad.value, first, last), grad.value));
  }
}

RC_GTEST_PROP(AttentionLaws, EmptyDocumentsChangeNothing, ()) {
  const AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  AttentionSettings padded = c.settings;
  padded.cu_seqlens.clear();
  for (const Index entry : c.settings.cu_seqlens) {
    padded.cu_seqlens.insert(padded.cu_seqlens.end(), 2, entry);
  }
  RC_ASSERT(same(forward(x, c.settings).y, forward(x, padded).y));
  RC_ASSERT(same(backward(x, c.settings).key, backward(x, padded).key));
}

RC_GTEST_PROP(AttentionLaws, AWindowPastTheStartIsNoWindow, ()) {
  AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  c.settings.window = 2 * c.tokens();
  AttentionSettings endless = c.settings;
  endless.window = Index{1} << 40;
  RC_ASSERT(same(forward(x, c.settings).y, forward(x, endless).y));
}

// A mean with positive weights. The slack is that of 2 (n + 1) roundings of numbers no larger than
// the largest value.
RC_GTEST_PROP(AttentionLaws, OutputsLieInTheHullOfVisibleValues, ()) {
  const AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  const auto result = forward(x, c.settings);
  for (Index t = 0; t < c.tokens(); ++t) {
    for (Index h = 0; h < c.heads; ++h) {
      const auto keys = visible_keys(t, h, c.heads, c.settings);
      for (Index d = 0; d < c.head_dim; ++d) {
        double low = x.v(t, h, d), high = low;
        for (const TokenHead key : keys) {
          low = std::min(low, x.v(key.token, key.head, d));
          high = std::max(high, x.v(key.token, key.head, d));
        }
        const double slack = 2 * static_cast<double>(keys.size() + 1) * 0x1p-53 *
                             std::max(std::abs(low), std::abs(high));
        RC_ASSERT(low - slack <= result.y(t, h, d) && result.y(t, h, d) <= high + slack);
      }
    }
  }
}

// Adding one vector to all keys moves every score of a query alike: y stays, and the log-sum-exp
// moves with them.
RC_GTEST_PROP(AttentionLaws, OnlyDifferencesOfScoresMatter, ()) {
  const AttentionCase c = *attention_cases();
  const AttentionInputs x = draw_inputs(c);
  AttentionInputs moved = x;
  Random random(c.seed + 1);
  const Tensor<double> offset = normal_tensor({1, 1, c.head_dim}, random);
  for (Index i = 0; i < moved.k.size(); ++i) moved.k[i] += offset[i % c.head_dim];
  const auto before = forward(x, c.settings), after = forward(moved, c.settings);
  const auto terms = attention_forward(cast<Magnitude>(moved.q), cast<Magnitude>(moved.k),
                                       cast<Magnitude>(moved.v), c.settings, Rounding::exact());
  for (Index i = 0; i < before.y.size(); ++i) {
    RC_ASSERT(std::abs(before.y[i] - after.y[i]) <= 1e-12 * terms.y[i].magnitude);
  }
  for (Index t = 0; t < c.tokens(); ++t) {
    for (Index h = 0; h < c.heads; ++h) {
      double score = 0;
      for (Index d = 0; d < c.head_dim; ++d) {
        score += c.settings.softmax_scale * x.q(t, h, d) * offset[d];
      }
      RC_ASSERT(std::abs(before.logsumexp(t, h) + score - after.logsumexp(t, h)) <=
                1e-12 * terms.logsumexp(t, h).magnitude);
    }
  }
}

}  // namespace
}  // namespace pairedhead::reference
