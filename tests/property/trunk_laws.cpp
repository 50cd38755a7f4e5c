#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include "reference/embedding.h"
#include "reference/linear.h"
#include "reference/output_gate.h"
#include "reference/relu_squared.h"
#include "reference/rms_norm.h"
#include "reference/skip.h"
#include "reference/smear.h"
#include "reference/value_mix.h"
#include "tests/reference/support.h"

// What SPEC says of the trunk's pieces in words rather than formulas.

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

constexpr double roundoff = 0x1p-53;

Random fuzzed_random() { return Random(*rc::gen::arbitrary<std::uint64_t>()); }
Index fuzzed_tokens() { return *rc::gen::inRange<Index>(1, 30); }
Index fuzzed_width() { return *rc::gen::element<Index>(12, 13, 16, 40, 96); }

// [T, C] of fuzzed extents.
Tensor<double> fuzzed_activations(Random& random) {
  const Index tokens = fuzzed_tokens();
  return normal_tensor({tokens, fuzzed_width()}, random);
}

bool same_token(const Tensor<double>& a, const Tensor<double>& b, Index token) {
  return std::equal(&a(token, 0), &a(token, 0) + a.dim(1), &b(token, 0));
}

// y(c x) = x / sqrt(m + eps / c^2): the scale of x shows in eps alone.
RC_GTEST_PROP(TrunkLaws, RmsNormForgetsTheScaleUpToEpsilon, ()) {
  Random random = fuzzed_random();
  const Tensor<double> x = fuzzed_activations(random);
  const double c = std::ldexp(1.0, *rc::gen::inRange(-6, 12));
  Tensor<double> scaled = x;
  for (double& value : scaled.values()) value *= c;
  const Tensor<double> y = rms_norm(x), of_scaled = rms_norm(scaled);
  for (Index t = 0; t < x.dim(0); ++t) {
    double mean = 0;
    for (Index i = 0; i < x.dim(1); ++i) mean += x(t, i) * x(t, i) / static_cast<double>(x.dim(1));
    const double by_epsilon = rms_epsilon / (2 * mean) * std::max(1.0, 1 / (c * c));
    for (Index i = 0; i < x.dim(1); ++i) {
      RC_ASSERT(std::abs(of_scaled(t, i) - y(t, i)) <=
                (by_epsilon + 8 * roundoff) *
                    std::max(std::abs(y(t, i)), std::abs(of_scaled(t, i))));
    }
  }
}

// For the same reason no gradient points along x but for the share that eps has.
RC_GTEST_PROP(TrunkLaws, RmsNormGradientIsOrthogonalToItsInputUpToEpsilon, ()) {
  Random random = fuzzed_random();
  const Tensor<double> x = fuzzed_activations(random), g = normal_tensor(x.shape(), random);
  const Tensor<double> grad = rms_norm_backward(x, g);
  for (Index t = 0; t < x.dim(0); ++t) {
    double along = 0, absolute = 0, incoming = 0, mean = 0;
    for (Index i = 0; i < x.dim(1); ++i) {
      along += grad(t, i) * x(t, i);
      absolute += std::abs(grad(t, i) * x(t, i));
      incoming += g(t, i) * x(t, i);
      mean += x(t, i) * x(t, i) / static_cast<double>(x.dim(1));
    }
    const double share = rms_epsilon / (mean + rms_epsilon);
    const double expected = incoming / std::sqrt(mean + rms_epsilon) * share;
    const double scale = absolute + std::abs(incoming) / std::sqrt(mean);
    RC_ASSERT(std::abs(along - expected) <= 2 * static_cast<double>(x.dim(1)) * roundoff * scale);
  }
}

// Degree two: p h'(p) = 2 h(p), h(c p) = c^2 h(p); both exact, as is zero below zero.
RC_GTEST_PROP(TrunkLaws, ReluSquaredHasSlopeTwiceItsRelu, ()) {
  Random random = fuzzed_random();
  const Tensor<double> p = fuzzed_activations(random);
  const Tensor<double> h = relu_squared(p), slope_times_p = relu_squared_backward(p, p);
  Tensor<double> doubled = p;
  for (double& value : doubled.values()) value *= 2;
  const Tensor<double> of_doubled = relu_squared(doubled);
  for (Index i = 0; i < p.size(); ++i) {
    RC_ASSERT(slope_times_p[i] == 2 * h[i]);
    RC_ASSERT(of_doubled[i] == 4 * h[i]);
    RC_ASSERT((h[i] > 0) == (p[i] > 0));
  }
}

// SPEC §3.1.3: a token is smeared by the raw embedding before it, whatever that was smeared by, and
// nothing tells where documents start.
RC_GTEST_PROP(TrunkLaws, SmearLooksOneRawTokenBack, ()) {
  Random random = fuzzed_random();
  const Tensor<double> e = fuzzed_activations(random);
  const Tensor<double> w = normal_tensor({1, 12}, random);
  const Index changed = *rc::gen::inRange<Index>(0, e.dim(0));
  Tensor<double> other = e;
  for (Index c = 0; c < e.dim(1); ++c) other(changed, c) = random.normal();
  const Tensor<double> s = smear(e, w, 0.7), of_other = smear(other, w, 0.7);
  for (Index t = 0; t < e.dim(0); ++t) {
    RC_ASSERT(same_token(s, of_other, t) == (t != changed && t != changed + 1));
  }
}

RC_GTEST_PROP(TrunkLaws, SmearOfLambdaZeroIsTheIdentity, ()) {
  Random random = fuzzed_random();
  const Tensor<double> e = fuzzed_activations(random);
  const Tensor<double> s = smear(e, normal_tensor({1, 12}, random), 0.0);
  for (Index i = 0; i < e.size(); ++i) RC_ASSERT(s[i] == e[i]);
}

RC_GTEST_PROP(TrunkLaws, UntouchedRowsOfATableHaveExactlyZeroGradient, ()) {
  Random random = fuzzed_random();
  const Index vocabulary = *rc::gen::inRange<Index>(1, 50);
  std::vector<Index> tokens(static_cast<std::size_t>(fuzzed_tokens()));
  for (Index& token : tokens) token = random.integer(0, vocabulary - 1);
  const Index width = fuzzed_width();
  const Tensor<double> g = normal_tensor({static_cast<Index>(tokens.size()), width}, random);
  const Tensor<double> grad = embedding_backward(tokens, g, vocabulary);
  double of_rows = 0, of_tokens = 0, absolute = 0;
  for (Index row = 0; row < vocabulary; ++row) {
    const bool touched = std::count(tokens.begin(), tokens.end(), row) > 0;
    for (Index c = 0; c < width; ++c) {
      RC_ASSERT(touched || grad(row, c) == 0);
      of_rows += grad(row, c);
    }
  }
  for (const double value : g.values()) {
    of_tokens += value;
    absolute += std::abs(value);
  }
  RC_ASSERT(std::abs(of_rows - of_tokens) <=
            2 * static_cast<double>(g.size()) * roundoff * absolute);
}

// SPEC §5 "tied embedding": one table read as embedding and as head; its gradient is the sum of the
// two uses, certified against the derivative of both together.
RC_GTEST_PROP(TrunkLaws, GradientOfATiedTableIsTheSumOfItsUses, ()) {
  Random random = fuzzed_random();
  const Index vocabulary = *rc::gen::inRange<Index>(1, 20), width = fuzzed_width();
  std::vector<Index> tokens(static_cast<std::size_t>(fuzzed_tokens()));
  for (Index& token : tokens) token = random.integer(0, vocabulary - 1);
  const auto count = static_cast<Index>(tokens.size());
  const auto table = normal_tensor({vocabulary, width}, random);
  const auto moved = normal_tensor({vocabulary, width}, random);
  const auto x = normal_tensor({count, width}, random);
  const auto grad_e = normal_tensor({count, width}, random);
  const auto grad_z = normal_tensor({count, vocabulary}, random);

  Tensor<double> grad = linear_backward(x, table, grad_z).w;
  const Tensor<double> of_head = grad,
                       of_embedding = embedding_backward(tokens, grad_e, vocabulary);
  add_embedding_gradient(tokens, grad_e, grad);
  InnerProduct forwards, backwards;
  forwards.add(grad_e, embedding(tokens, dual(table, moved)));
  forwards.add(grad_z, linear(cast<Dual>(x), dual(table, moved)));
  backwards.add(grad, moved);
  RC_ASSERT(disagreement(forwards, backwards) <= certified_limit);
  for (Index i = 0; i < grad.size(); ++i) {
    const double size = std::abs(of_head[i]) + std::abs(of_embedding[i]);
    const double terms = static_cast<double>(count) * roundoff;
    RC_ASSERT(std::abs(grad[i] - (of_head[i] + of_embedding[i])) <= terms * (size + 10));
  }
}

// The initial state, SPEC §3.3.1, §3.6.5, §3.6.7: all gate weights zero.
RC_GTEST_PROP(TrunkLaws, GatesOfZeroWeightsAreOneHalfAndOne, ()) {
  Random random = fuzzed_random();
  const Index tokens = fuzzed_tokens(), heads = *rc::gen::inRange<Index>(1, 7);
  const auto v = normal_tensor({tokens, heads, 16}, random);
  const auto ve = normal_tensor({tokens, heads * 16}, random);
  const auto a = normal_tensor({tokens, heads * 16}, random);
  const Tensor<double> w({heads, 12});
  const Tensor<double> mixed = value_mix(v, ve, a, w), gated = output_gate(v, a, w);
  for (Index i = 0; i < v.size(); ++i) {
    RC_ASSERT(mixed[i] == v[i] + ve[i]);
    RC_ASSERT(gated[i] == v[i] / 2);
  }
}

RC_GTEST_PROP(TrunkLaws, SkipStartsWithASmallGain, ()) {
  Random random = fuzzed_random();
  const Tensor<double> x0 = fuzzed_activations(random);
  const Tensor<double> x(x0.shape()), x_skip(x0.shape(), 1.0), w({1, 12});
  const Tensor<double> gains = skip(x, x_skip, x0, w, -1.5);
  for (const double gain : gains.values()) {
    RC_ASSERT(std::abs(gain - 0.18243) <= 5e-6);  // five digits of SPEC §2.1
  }
}

}  // namespace
}  // namespace pairedhead::reference
