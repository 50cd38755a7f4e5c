#include "reference/smear.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// Gates of tokens 1 and 2: lam sig(ln 3) = 3/2 and lam sig(-ln 3) = 1/2 with lam = 2.
TEST(Smear, ByHand) {
  Tensor<double> e({3, 13}), w({1, 12}), g({3, 13});
  w[0] = std::log(3.0);
  e(0, 0) = 5, e(1, 0) = 1, e(2, 0) = -1;      // what the gates read
  e(0, 12) = 4, e(1, 12) = 10, e(2, 12) = 20;  // beyond it
  const Tensor<double> s = smear(e, w, 2.0);
  EXPECT_EQ(s(0, 12), 4);
  EXPECT_NEAR(s(1, 12), 10 + 1.5 * 4, 0x1p-48);
  EXPECT_NEAR(s(2, 12), 20 + 0.5 * 10, 0x1p-47);  // the raw 10, not the smeared 16

  g(1, 12) = 1, g(2, 12) = 2;
  const auto grad = smear_backward(e, w, 2.0, g);
  EXPECT_NEAR(grad.e(0, 12), 1.5, 0x1p-50);
  EXPECT_NEAR(grad.e(1, 12), 1 + 0.5 * 2, 0x1p-50);
  EXPECT_EQ(grad.e(2, 12), 2);
  EXPECT_NEAR(grad.lam, 0.75 * 4 + 0.25 * 20, 0x1p-48);
  const double logit_1 = 2 * (3.0 / 16) * 4, logit_2 = 2 * (3.0 / 16) * 20;
  EXPECT_NEAR(grad.w[0], logit_1 - logit_2, 0x1p-47);
  EXPECT_EQ(grad.e(0, 0), 0);  // the first token has no gate
  EXPECT_NEAR(grad.e(1, 0), logit_1 * std::log(3.0), 0x1p-48);
}

TEST(Smear, LeavesOneTokenAlone) {
  Random random(1);
  const auto e = normal_tensor({1, 16}, random), w = normal_tensor({1, 12}, random);
  const auto g = normal_tensor({1, 16}, random);
  const Tensor<double> s = smear(e, w, 3.0);
  const auto grad = smear_backward(e, w, 3.0, g);
  for (Index c = 0; c < 16; ++c) {
    EXPECT_EQ(s[c], e[c]);
    EXPECT_EQ(grad.e[c], g[c]);
  }
  for (const double dw : grad.w.values()) EXPECT_EQ(dw, 0);
  EXPECT_EQ(grad.lam, 0);
}

struct Case {
  Tensor<double> e, w, g;
};

Case make_case(std::uint64_t seed) {
  Random random(seed);
  Case c{normal_tensor({7, 20}, random), normal_tensor({1, 12}, random),
         normal_tensor({7, 20}, random)};
  for (double& w : c.w.values()) w *= 0.3;
  return c;
}

TEST(Smear, BackwardIsTheTransposedDerivative) {
  const Case c = make_case(2), d = make_case(3);
  InnerProduct forwards, backwards;
  forwards.add(c.g, smear(dual(c.e, d.e), dual(c.w, d.w), Dual(0.7, -0.4)));
  const auto grad = smear_backward(c.e, c.w, 0.7, c.g);
  backwards.add(grad.e, d.e);
  backwards.add(grad.w, d.w);
  backwards.add(grad.lam, -0.4);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// 24 operations of the logit, 4 of the sigmoid, product and sum; <g, e> has 40, the sum over tokens
// 7.
TEST(Smear, DoubleIsAsGoodAsItsRoundingsAllow) {
  const Case c = make_case(4);
  const auto smeared = [&]<class Scalar>(Scalar) {
    return smear(cast<Scalar>(c.e), cast<Scalar>(c.w), Scalar(0.7));
  };
  EXPECT_LE(worst_roundoffs(smeared(0.0), smeared(Float128(0)), smeared(Magnitude(0))),
            std::sqrt(32));
  const auto grad = [&]<class Scalar>(Scalar) {
    return smear_backward(cast<Scalar>(c.e), cast<Scalar>(c.w), Scalar(0.7), cast<Scalar>(c.g));
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  const double summed = std::sqrt(32 + 40 + 6 + 7);
  EXPECT_LE(worst_roundoffs(computed.e, accurate.e, terms.e), std::sqrt(32 + 40 + 6));
  EXPECT_LE(worst_roundoffs(computed.w, accurate.w, terms.w), summed);
  EXPECT_LE(worst_roundoffs(Tensor<double>({1}, computed.lam), Tensor<Float128>({1}, accurate.lam),
                            Tensor<Magnitude>({1}, terms.lam)),
            summed);
}

TEST(Smear, RefusesShapesThatDoNotFit) {
  const Case c = make_case(5);
  EXPECT_THROW(smear(Tensor<double>({7, 11}), c.w, 1.0), InputError);
  EXPECT_THROW(smear(c.e, Tensor<double>({1, 13}), 1.0), InputError);
  EXPECT_THROW(smear_backward(c.e, c.w, 1.0, c.w), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
