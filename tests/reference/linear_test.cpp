#include "reference/linear.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

TEST(Linear, ByHand) {  // SPEC §2.3: rows of w are outputs
  Tensor<double> x({1, 2}), w({3, 2}), g({1, 3});
  x[0] = 1, x[1] = 10;
  for (Index i = 0; i < 6; ++i) w[i] = static_cast<double>(i);
  g[0] = 1, g[1] = 2, g[2] = 3;
  const Tensor<double> y = linear(x, w);
  EXPECT_EQ(y[0], 10);
  EXPECT_EQ(y[1], 32);
  EXPECT_EQ(y[2], 54);
  const auto grad = linear_backward(x, w, g);
  EXPECT_EQ(grad.x[0], 0 + 2 * 2 + 3 * 4);
  EXPECT_EQ(grad.x[1], 1 + 2 * 3 + 3 * 5);
  EXPECT_EQ(grad.w(2, 0), 3);
  EXPECT_EQ(grad.w(2, 1), 30);
}

TEST(Linear, BackwardIsTheTransposedDerivative) {
  Random random(1);
  const auto x = normal_tensor({9, 13}, random), dx = normal_tensor({9, 13}, random);
  const auto w = normal_tensor({7, 13}, random), dw = normal_tensor({7, 13}, random);
  const auto g = normal_tensor({9, 7}, random);
  InnerProduct forwards, backwards;
  forwards.add(g, linear(dual(x, dx), dual(w, dw)));
  const auto grad = linear_backward(x, w, g);
  backwards.add(grad.x, dx);
  backwards.add(grad.w, dw);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

TEST(Linear, DoubleIsAsGoodAsItsRoundingsAllow) {  // sums of 50 products, of 9 in dw
  Random random(2);
  const auto x = normal_tensor({9, 50}, random), w = normal_tensor({50, 50}, random);
  const auto g = normal_tensor({9, 50}, random);
  const auto grad = [&]<class Scalar>(Scalar) {
    return linear_backward(cast<Scalar>(x), cast<Scalar>(w), cast<Scalar>(g));
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  EXPECT_LE(worst_roundoffs(computed.x, accurate.x, terms.x), std::sqrt(100));
  EXPECT_LE(worst_roundoffs(computed.w, accurate.w, terms.w), std::sqrt(18));
}

TEST(Linear, RefusesShapesThatDoNotFit) {
  const Tensor<double> x({2, 3}), w({4, 3});
  EXPECT_THROW(linear(x, Tensor<double>({3, 4})), InputError);
  EXPECT_THROW(linear_backward(x, w, Tensor<double>({4, 2})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
