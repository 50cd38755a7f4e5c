#include "reference/attention.h"

#include <gtest/gtest.h>

#include "reference/scalar.h"
#include "reference/visibility.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

struct Case {
  Tensor<double> q, k, v, g;
  AttentionSettings settings;
};

Case make_case(Index tokens, Index heads, Index head_dim, const AttentionSettings& settings,
               std::uint64_t seed) {
  Random random(seed);
  const Shape shape = {tokens, heads, head_dim};
  Case c;
  c.q = normal_tensor(shape, random);
  c.k = normal_tensor(shape, random);
  c.v = normal_tensor(shape, random);
  c.g = normal_tensor(shape, random);
  c.settings = settings;
  return c;
}

AttentionForward<double> forward(const Case& c, Rounding rounding = Rounding::exact()) {
  return attention_forward(c.q, c.k, c.v, c.settings, rounding);
}

AttentionGradients<double> backward(const Case& c, Rounding rounding = Rounding::exact()) {
  return attention_backward(c.q, c.k, c.v, c.g, c.settings, rounding);
}

// A spread of settings: both pairings and plain, odd and wide windows, one-token and empty
// documents.
std::vector<Case> spread() {
  std::vector<Case> cases;
  std::uint64_t seed = 1;
  for (const Pairing pairing : {Pairing::none, Pairing::strided, Pairing::adjacent}) {
    for (const Index window : {1, 2, 5, 100}) {
      cases.push_back(make_case(9, 6, 16, {pairing, window, 0.3, {0, 1, 1, 5, 8, 9}}, seed++));
    }
    cases.push_back(make_case(1, 2, 8, {pairing, 3, 0.1, {0, 1}}, seed++));
    cases.push_back(make_case(20, 4, 24, {pairing, 7, 0.2, {0, 20}}, seed++));
  }
  return cases;
}

TEST(Attention, WorkedExample) {  // SPEC §4
  const Case c = make_case(3, 2, 1, {Pairing::strided, 2, 0.7, {0, 3}}, 4);
  const auto E = [&](Index t, Index h, Index u, Index g) {
    return std::exp(0.7 * c.q(t, h, 0) * c.k(u, g, 0));
  };
  const auto expected = [&](Index t, Index h, const std::vector<TokenHead>& keys) {
    double above = 0, below = 0;
    for (const TokenHead key : keys) {
      above += E(t, h, key.token, key.head) * c.v(key.token, key.head, 0);
      below += E(t, h, key.token, key.head);
    }
    return std::pair{above / below, std::log(below)};
  };
  constexpr Index A = 0, B = 1;
  const std::pair<TokenHead, std::vector<TokenHead>> rows[] = {{{0, A}, {{0, A}}},
                                                               {{0, B}, {{0, A}, {0, B}}},
                                                               {{1, A}, {{0, A}, {0, B}, {1, A}}},
                                                               {{1, B}, {{0, B}, {1, A}, {1, B}}},
                                                               {{2, A}, {{1, A}, {1, B}, {2, A}}},
                                                               {{2, B}, {{1, B}, {2, A}, {2, B}}}};
  const AttentionForward<double> result = forward(c);
  for (const auto& [at, keys] : rows) {
    const auto [y, logsumexp] = expected(at.token, at.head, keys);
    EXPECT_NEAR(result.y(at.token, at.head, 0), y, 8 * 0x1p-53 * (1 + std::abs(y)));
    EXPECT_NEAR(result.logsumexp(at.token, at.head), logsumexp,
                8 * 0x1p-53 * (1 + std::abs(logsumexp)));
  }
}

TEST(Attention, FarScoresDoNotOverflow) {
  Case c = make_case(4, 2, 8, {Pairing::strided, 8, 1.0, {0, 4}}, 5);
  for (double& q : c.q.values()) q *= 1e4;
  const AttentionForward<double> result = forward(c);
  for (const double y : result.y.values()) EXPECT_TRUE(std::isfinite(y));
  for (const double l : result.logsumexp.values()) EXPECT_TRUE(std::isfinite(l));
}

TEST(Attention, SingleKeyGivesItsValueAndNoScoreGradient) {
  const Case c = make_case(3, 3, 8, {Pairing::none, 5, 0.1, {0, 1, 2, 3}}, 6);
  EXPECT_TRUE(std::ranges::equal(forward(c).y.values(), c.v.values()));
  const AttentionGradients<double> grad = backward(c);
  for (const double g : grad.query.values()) EXPECT_EQ(g, 0);
  for (const double g : grad.key.values()) EXPECT_EQ(g, 0);
  EXPECT_TRUE(std::ranges::equal(grad.value.values(), c.g.values()));
}

TEST(Attention, BackwardIsTheTransposedDerivative) {
  Random random(7);
  for (const Case& c : spread()) {
    const Tensor<double> dq = normal_tensor(c.q.shape(), random);
    const Tensor<double> dk = normal_tensor(c.q.shape(), random);
    const Tensor<double> dv = normal_tensor(c.q.shape(), random);
    InnerProduct forwards, backwards;
    forwards.add(c.g, attention_forward(dual(c.q, dq), dual(c.k, dk), dual(c.v, dv), c.settings,
                                        Rounding::exact())
                          .y);
    const AttentionGradients<double> grad = backward(c);
    backwards.add(grad.query, dq);
    backwards.add(grad.key, dk);
    backwards.add(grad.value, dv);
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

// Each gradient alone, so that no two mistakes can cancel and none can hide behind a larger term.
TEST(Attention, EachGradientIsTheTransposedDerivative) {
  Random random(8);
  for (const Case& c : spread()) {
    const Tensor<double> zero(c.q.shape());
    const AttentionGradients<double> grad = backward(c);
    for (int which = 0; which < 3; ++which) {
      const Tensor<double> direction = normal_tensor(c.q.shape(), random);
      const auto along = [&](int input) { return input == which ? direction : zero; };
      InnerProduct forwards, backwards;
      forwards.add(c.g, attention_forward(dual(c.q, along(0)), dual(c.k, along(1)),
                                          dual(c.v, along(2)), c.settings, Rounding::exact())
                            .y);
      backwards.add(which == 0 ? grad.query : which == 1 ? grad.key : grad.value, direction);
      if (forwards.absolute + backwards.absolute == 0) continue;  // one key each: no dependence
      EXPECT_LE(disagreement(forwards, backwards), certified_limit) << "input " << which;
    }
  }
}

// d logsumexp / d score is the probability, so kappa * k weighted by it is d logsumexp / dq.
TEST(Attention, LogsumexpHasTheProbabilitiesAsDerivative) {
  for (const Case& c : spread()) {
    Random random(9);
    const Tensor<double> dq = normal_tensor(c.q.shape(), random);
    const Tensor<double> zero(c.q.shape());
    const auto moved = attention_forward(dual(c.q, dq), dual(c.k, zero), dual(c.v, zero),
                                         c.settings, Rounding::exact())
                           .logsumexp;
    // With the keys as values, y is the mean key.
    const Tensor<double> mean_key =
        attention_forward(c.q, c.k, c.k, c.settings, Rounding::exact()).y;
    for (Index t = 0; t < c.q.dim(0); ++t) {
      for (Index h = 0; h < c.q.dim(1); ++h) {
        double expected = 0, terms = 0;
        for (Index d = 0; d < c.q.dim(2); ++d) {
          expected += c.settings.softmax_scale * mean_key(t, h, d) * dq(t, h, d);
          terms += std::abs(c.settings.softmax_scale * mean_key(t, h, d) * dq(t, h, d));
        }
        EXPECT_LE(std::abs(moved(t, h).derivative - expected), 1e-12 * terms);
      }
    }
  }
}

Index most_keys(const Case& c) {
  Index most = 0;
  for (Index t = 0; t < c.q.dim(0); ++t) {
    for (Index h = 0; h < c.q.dim(1); ++h) {
      most = std::max(most, visible_count(t, h, c.q.dim(1), c.settings));
    }
  }
  return most;
}

// The limits below are the square roots of these counts: roundings act as independent errors of
// mean zero, so that n of them add up to about sqrt(n) of one (Higham and Mary, 2019).
//
// Roundings on the longest path from an input to y: a score takes D products, D/8 + 7 at most of
// them one after the other, and kappa (twice, with the row maximum's); the weight a subtraction and
// an exp; numerator and denominator n sums and a product each; one division.
double forward_roundoffs(Index head_dim, Index keys) {
  const double weight = 2 * (static_cast<double>(head_dim) / 8 + 9) + 2;
  return 2 * (weight + static_cast<double>(keys) + 1) + 1;
}

// P takes a score, the log-sum-exp (the forward's denominator and a log) and an exp; delta the
// forward's y and a product; dP a product; then the sum over keys or queries, and kappa.
double backward_roundoffs(Index head_dim, Index keys) {
  const double product = static_cast<double>(head_dim) / 8 + 8;
  return 3 * forward_roundoffs(head_dim, keys) + 3 * product + static_cast<double>(keys) + 5;
}

TEST(Attention, DoubleIsAsGoodAsItsRoundingsAllow) {
  double worst_forward = 0, worst_backward = 0;
  for (const Case& c : spread()) {
    const auto run = [&](auto scalar) {
      using Scalar = decltype(scalar);
      return std::pair{attention_forward(cast<Scalar>(c.q), cast<Scalar>(c.k), cast<Scalar>(c.v),
                                         c.settings, Rounding::exact()),
                       attention_backward(cast<Scalar>(c.q), cast<Scalar>(c.k), cast<Scalar>(c.v),
                                          cast<Scalar>(c.g), c.settings, Rounding::exact())};
    };
    const auto [y, grad] = run(double{});
    const auto [accurate_y, accurate_grad] = run(Float128{});
    const auto [terms_y, terms_grad] = run(Magnitude{});
    const double for_y =
        std::max(worst_roundoffs(y.y, accurate_y.y, terms_y.y),
                 worst_roundoffs(y.logsumexp, accurate_y.logsumexp, terms_y.logsumexp));
    const double for_grad =
        std::max({worst_roundoffs(grad.query, accurate_grad.query, terms_grad.query),
                  worst_roundoffs(grad.key, accurate_grad.key, terms_grad.key),
                  worst_roundoffs(grad.value, accurate_grad.value, terms_grad.value)});
    EXPECT_LE(for_y, std::sqrt(forward_roundoffs(c.q.dim(2), most_keys(c))));
    EXPECT_LE(for_grad, std::sqrt(backward_roundoffs(c.q.dim(2), most_keys(c))));
    worst_forward = std::max(worst_forward, for_y);
    worst_backward = std::max(worst_backward, for_grad);
  }
  RecordProperty("worst_forward_roundoffs", std::to_string(worst_forward));
  RecordProperty("worst_backward_roundoffs", std::to_string(worst_backward));
}

TEST(Attention, ADrawIsNamedByItsSeed) {
  const Case c = make_case(9, 6, 16, {Pairing::strided, 7, 0.1, {0, 4, 9}}, 11);
  const auto a = forward(c, Rounding::stochastic(3)), b = forward(c, Rounding::stochastic(3));
  const auto other = forward(c, Rounding::stochastic(4));
  EXPECT_TRUE(std::ranges::equal(a.y.values(), b.y.values()));
  EXPECT_FALSE(std::ranges::equal(a.y.values(), other.y.values()));
  // The row sum has no M point: the log-sum-exp is the exact one.
  EXPECT_TRUE(std::ranges::equal(a.logsumexp.values(), forward(c).logsumexp.values()));
}

// Unbiased at first order: the mean over draws is nearer to the truth than one draw is, by about
// the root of their number.
TEST(Attention, DrawsScatterAroundTheTruth) {
  const Case c = make_case(9, 6, 16, {Pairing::strided, 7, 0.1, {0, 9}}, 12);
  const int draws = 256;
  const auto spread_and_bias = [&](auto evaluate) {
    const Tensor<double> truth = evaluate(Rounding::exact());
    Tensor<double> mean(truth.shape());
    double squares = 0;
    for (int n = 0; n < draws; ++n) {
      const Tensor<double> y = evaluate(Rounding::stochastic(static_cast<std::uint64_t>(n)));
      for (Index i = 0; i < y.size(); ++i) {
        mean[i] += y[i] / draws;
        squares += (y[i] - truth[i]) * (y[i] - truth[i]) / draws;
      }
    }
    double bias = 0;
    for (Index i = 0; i < mean.size(); ++i) bias += (mean[i] - truth[i]) * (mean[i] - truth[i]);
    return std::pair{std::sqrt(squares), std::sqrt(bias)};
  };
  const auto [y_spread, y_bias] = spread_and_bias([&](Rounding r) { return forward(c, r).y; });
  const auto [k_spread, k_bias] = spread_and_bias([&](Rounding r) { return backward(c, r).key; });
  const auto [v_spread, v_bias] = spread_and_bias([&](Rounding r) { return backward(c, r).value; });
  EXPECT_GT(y_spread, 0);
  EXPECT_GT(k_spread, 0);
  EXPECT_GT(v_spread, 0);
  // 1/16 expected; twice that allowed.
  EXPECT_LE(y_bias, y_spread / 8);
  EXPECT_LE(k_bias, k_spread / 8);
  EXPECT_LE(v_bias, v_spread / 8);
}

TEST(Attention, RefusesShapesThatDiffer) {
  const Case c = make_case(4, 2, 8, {Pairing::strided, 2, 0.1, {0, 4}}, 13);
  const Tensor<double> other({4, 2, 16}), flat({8, 8});
  EXPECT_THROW(attention_forward(c.q, other, c.v, c.settings, Rounding::exact()), InputError);
  EXPECT_THROW(attention_forward(c.q, c.k, other, c.settings, Rounding::exact()), InputError);
  EXPECT_THROW(attention_forward(flat, flat, flat, c.settings, Rounding::exact()), InputError);
  EXPECT_THROW(attention_forward_flat(c.q, other, c.v, c.settings), InputError);
  EXPECT_THROW(attention_backward(c.q, c.k, c.v, other, c.settings, Rounding::exact()), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
