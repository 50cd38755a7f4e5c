#include "reference/skip.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// sig(theta) = 1/4 and sig(l) = 3/4: a gain of 3/8.
TEST(Skip, ByHand) {
  const double theta = -std::log(3.0);
  Tensor<double> x({1, 12}), x_skip({1, 12}), x0({1, 12}), w({1, 12}), g({1, 12});
  x[0] = 1, x_skip[0] = 16, x[5] = 7, x0[2] = 0.5, w[2] = 2 * std::log(3.0), g[0] = 2, g[5] = 1;
  const Tensor<double> mixed = skip(x, x_skip, x0, w, theta);
  EXPECT_NEAR(mixed[0], 7, 0x1p-48);
  EXPECT_EQ(mixed[5], 7);
  const auto grad = skip_backward(x, x_skip, x0, w, theta, g);  // b = 32
  EXPECT_EQ(grad.x[0], 2);
  EXPECT_NEAR(grad.x_skip[0], 0.75, 0x1p-50);
  EXPECT_NEAR(grad.x_skip[5], 0.375, 0x1p-50);
  EXPECT_NEAR(grad.theta, 3.0 / 16 * 1.5 * 32, 0x1p-46);
  const double grad_logit = 2 * 0.25 * (3.0 / 16) * 32;
  EXPECT_NEAR(grad.w[2], grad_logit * 0.5, 0x1p-47);
  EXPECT_NEAR(grad.x0[2], grad_logit * w[2], 0x1p-46);
  EXPECT_EQ(grad.x0[0], 0);
}

struct Case {
  Tensor<double> x, x_skip, x0, w, g;
};

Case make_case(std::uint64_t seed) {
  Random random(seed);
  const Shape shape = {7, 20};
  Case c{normal_tensor(shape, random), normal_tensor(shape, random), normal_tensor(shape, random),
         normal_tensor({1, 12}, random), normal_tensor(shape, random)};
  for (double& w : c.w.values()) w *= 0.3;
  return c;
}

TEST(Skip, BackwardIsTheTransposedDerivative) {
  const Case c = make_case(1), d = make_case(2);
  InnerProduct forwards, backwards;
  forwards.add(c.g, skip(dual(c.x, d.x), dual(c.x_skip, d.x_skip), dual(c.x0, d.x0), dual(c.w, d.w),
                         Dual(-1.5, 0.8)));
  const auto grad = skip_backward(c.x, c.x_skip, c.x0, c.w, -1.5, c.g);
  backwards.add(grad.x, d.x);
  backwards.add(grad.x_skip, d.x_skip);
  backwards.add(grad.x0, d.x0);
  backwards.add(grad.w, d.w);
  backwards.add(grad.theta, 0.8);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// 24 operations of the logit, 8 of two sigmoids, their products and the sum; <g, x_skip> has 40 and
// the sum over tokens 7.
TEST(Skip, DoubleIsAsGoodAsItsRoundingsAllow) {
  const Case c = make_case(3);
  const auto mixed = [&]<class Scalar>(Scalar) {
    return skip(cast<Scalar>(c.x), cast<Scalar>(c.x_skip), cast<Scalar>(c.x0), cast<Scalar>(c.w),
                Scalar(-1.5));
  };
  EXPECT_LE(worst_roundoffs(mixed(0.0), mixed(Float128(0)), mixed(Magnitude(0))), std::sqrt(36));
  const auto grad = [&]<class Scalar>(Scalar) {
    return skip_backward(cast<Scalar>(c.x), cast<Scalar>(c.x_skip), cast<Scalar>(c.x0),
                         cast<Scalar>(c.w), Scalar(-1.5), cast<Scalar>(c.g));
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  const double logit = std::sqrt(36 + 40 + 6), summed = std::sqrt(36 + 40 + 6 + 7);
  EXPECT_LE(worst_roundoffs(computed.x_skip, accurate.x_skip, terms.x_skip), std::sqrt(36));
  EXPECT_LE(worst_roundoffs(computed.x0, accurate.x0, terms.x0), logit);
  EXPECT_LE(worst_roundoffs(computed.w, accurate.w, terms.w), summed);
  EXPECT_LE(
      worst_roundoffs(Tensor<double>({1}, computed.theta), Tensor<Float128>({1}, accurate.theta),
                      Tensor<Magnitude>({1}, terms.theta)),
      summed);
}

TEST(Skip, RefusesShapesThatDoNotFit) {
  const Case c = make_case(4);
  const Tensor<double> narrow({7, 11});
  EXPECT_THROW(skip(narrow, narrow, narrow, c.w, 0.0), InputError);
  EXPECT_THROW(skip(c.x, narrow, c.x0, c.w, 0.0), InputError);
  EXPECT_THROW(skip(c.x, c.x_skip, c.x0, Tensor<double>({12, 1}), 0.0), InputError);
  EXPECT_THROW(skip_backward(c.x, c.x_skip, c.x0, c.w, 0.0, narrow), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
