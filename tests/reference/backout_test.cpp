#include "reference/backout.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

TEST(Backout, ByHand) {
  Tensor<double> x({2, 1}), x_back({2, 1}), g({2, 1});
  x[0] = 2, x[1] = -1, x_back[0] = 10, x_back[1] = 20, g[0] = 1, g[1] = 3;
  const Tensor<double> reduced = backout(x, x_back, 0.5);
  EXPECT_EQ(reduced[0], -3);
  EXPECT_EQ(reduced[1], -11);
  const auto grad = backout_backward(x, x_back, 0.5, g);
  EXPECT_EQ(grad.x[1], 3);
  EXPECT_EQ(grad.x_back[1], -1.5);
  EXPECT_EQ(grad.beta, -70);
}

TEST(Backout, BackwardIsTheTransposedDerivative) {
  Random random(1);
  const Shape shape = {9, 16};
  const auto x = normal_tensor(shape, random), dx = normal_tensor(shape, random);
  const auto x_back = normal_tensor(shape, random), dx_back = normal_tensor(shape, random);
  const auto g = normal_tensor(shape, random);
  InnerProduct forwards, backwards;
  forwards.add(g, backout(dual(x, dx), dual(x_back, dx_back), Dual(0.5, -0.9)));
  const auto grad = backout_backward(x, x_back, 0.5, g);
  backwards.add(grad.x, dx);
  backwards.add(grad.x_back, dx_back);
  backwards.add(grad.beta, -0.9);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

TEST(Backout, DoubleIsAsGoodAsItsRoundingsAllow) {  // two operations; sums of 144 products
  Random random(2);
  const auto x = normal_tensor({9, 16}, random), x_back = normal_tensor({9, 16}, random);
  const auto reduced = [&]<class Scalar>(Scalar) {
    return backout(cast<Scalar>(x), cast<Scalar>(x_back), Scalar(0.3));
  };
  EXPECT_LE(worst_roundoffs(reduced(0.0), reduced(Float128(0)), reduced(Magnitude(0))), 2);
  const auto beta = [&]<class Scalar>(Scalar) {
    const auto grad =
        backout_backward(cast<Scalar>(x), cast<Scalar>(x_back), Scalar(0.3), cast<Scalar>(x));
    return Tensor<Scalar>({1}, grad.beta);
  };
  EXPECT_LE(worst_roundoffs(beta(0.0), beta(Float128(0)), beta(Magnitude(0))), std::sqrt(2 * 144));
}

TEST(Backout, RefusesShapesThatDiffer) {
  const Tensor<double> x({2, 4}), other({4, 2});
  EXPECT_THROW(backout(x, other, 1.0), InputError);
  EXPECT_THROW(backout_backward(x, x, 1.0, other), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
