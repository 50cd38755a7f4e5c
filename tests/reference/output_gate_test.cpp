#include "reference/output_gate.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// What a gate reads: 12 of 16 channels. sig(ln 3) = 3/4.
TEST(OutputGate, ByHand) {
  Tensor<double> y({1, 2, 1}), a({1, 16}), w({2, 12});
  y[0] = 8, y[1] = 8, a[0] = 2, a[11] = 1, a[12] = 1000;
  w(0, 0) = std::log(3.0) / 2, w(1, 11) = -std::log(3.0);
  const Tensor<double> gated = output_gate(y, a, w);
  EXPECT_NEAR(gated[0], 6, 16 * 0x1p-53 * 6);  // head 0: sig(2 * ln 3 / 2)
  EXPECT_NEAR(gated[1], 2, 16 * 0x1p-53 * 2);  // head 1: sig(-ln 3) = 1/4
  // Slope 3/16 for both heads, times <g, y> = 8 and 16.
  Tensor<double> g({1, 2, 1});
  g[0] = 1, g[1] = 2;
  const auto grad = output_gate_backward(y, a, w, g);
  EXPECT_NEAR(grad.y[0], 0.75, 0x1p-50);
  EXPECT_NEAR(grad.y[1], 0.5, 0x1p-50);
  EXPECT_NEAR(grad.w(0, 0), 1.5 * 2, 0x1p-48);
  EXPECT_NEAR(grad.w(1, 11), 3, 0x1p-48);
  EXPECT_NEAR(grad.a[0], 1.5 * std::log(3.0) / 2, 0x1p-48);
  EXPECT_NEAR(grad.a[11], -3 * std::log(3.0), 0x1p-48);
  for (Index c = 12; c < 16; ++c) EXPECT_EQ(grad.a[c], 0);
}

struct Case {
  Tensor<double> y, a, w, g;
};

Case make_case(std::uint64_t seed) {
  Random random(seed);
  Case c{normal_tensor({7, 3, 16}, random), normal_tensor({7, 48}, random),
         normal_tensor({3, 12}, random), normal_tensor({7, 3, 16}, random)};
  for (double& w : c.w.values()) w *= 0.3;
  return c;
}

TEST(OutputGate, BackwardIsTheTransposedDerivative) {
  const Case c = make_case(1), d = make_case(2);
  InnerProduct forwards, backwards;
  forwards.add(c.g, output_gate(dual(c.y, d.y), dual(c.a, d.a), dual(c.w, d.w)));
  const auto grad = output_gate_backward(c.y, c.a, c.w, c.g);
  backwards.add(grad.y, d.y);
  backwards.add(grad.a, d.a);
  backwards.add(grad.w, d.w);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// 24 operations of the logit, exp, sum, quotient and product; a logit's gradient 32 more for <g, y>
// and 4, then sums over 7 tokens or 3 heads.
TEST(OutputGate, DoubleIsAsGoodAsItsRoundingsAllow) {
  const Case c = make_case(3);
  const auto gated = [&]<class Scalar>(Scalar) {
    return output_gate(cast<Scalar>(c.y), cast<Scalar>(c.a), cast<Scalar>(c.w));
  };
  EXPECT_LE(worst_roundoffs(gated(0.0), gated(Float128(0)), gated(Magnitude(0))), std::sqrt(28));
  const auto grad = [&]<class Scalar>(Scalar) {
    return output_gate_backward(cast<Scalar>(c.y), cast<Scalar>(c.a), cast<Scalar>(c.w),
                                cast<Scalar>(c.g));
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  EXPECT_LE(worst_roundoffs(computed.y, accurate.y, terms.y), std::sqrt(28));
  EXPECT_LE(worst_roundoffs(computed.a, accurate.a, terms.a), std::sqrt(28 + 36 + 6));
  EXPECT_LE(worst_roundoffs(computed.w, accurate.w, terms.w), std::sqrt(28 + 36 + 14));
}

TEST(OutputGate, RefusesShapesThatDoNotFit) {
  const Case c = make_case(4);
  EXPECT_THROW(output_gate(c.y, Tensor<double>({7, 11}), c.w), InputError);
  EXPECT_THROW(output_gate(c.y, Tensor<double>({6, 48}), c.w), InputError);
  EXPECT_THROW(output_gate(c.y, c.a, Tensor<double>({2, 12})), InputError);
  EXPECT_THROW(output_gate(c.a, c.a, c.w), InputError);
  EXPECT_THROW(output_gate_backward(c.y, c.a, c.w, c.a), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
