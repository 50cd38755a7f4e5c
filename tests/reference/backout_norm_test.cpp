#include "reference/backout_norm.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// x - x_back / 2 is 3, -3 in turn.
TEST(BackoutNorm, ByHand) {
  Tensor<double> x({1, 4}, 5), x_back({1, 4}, 4);
  x[1] = x[3] = -5;
  x_back[1] = x_back[3] = -4;
  const Tensor<double> y = backout_norm(x, x_back, 0.5);
  EXPECT_NEAR(y[0], 1, 1e-7);
  EXPECT_NEAR(y[1], -1, 1e-7);
  // g is one third of what reaches y, less its part along y, which is 1/4 (1, -1, 1, -1).
  Tensor<double> grad_y({1, 4});
  grad_y[0] = 1;
  const auto grad = backout_norm_backward(x, x_back, 0.5, grad_y);
  EXPECT_NEAR(grad.x[0], 0.25, 1e-7);
  EXPECT_NEAR(grad.x[1], 1.0 / 12, 1e-7);
  EXPECT_NEAR(grad.x_back[0], -0.125, 1e-7);
  EXPECT_NEAR(grad.beta, -4 * (0.25 - 3.0 / 12), 1e-6);
}

TEST(BackoutNorm, BackwardIsTheTransposedDerivative) {
  Random random(1);
  const Shape shape = {5, 14};
  const auto x = normal_tensor(shape, random), x_back = normal_tensor(shape, random);
  const auto dx = normal_tensor(shape, random), dx_back = normal_tensor(shape, random);
  const auto g = normal_tensor(shape, random);
  InnerProduct forwards, backwards;
  forwards.add(g, backout_norm(dual(x, dx), dual(x_back, dx_back), Dual(0.5, -0.7)));
  const auto grad = backout_norm_backward(x, x_back, 0.5, g);
  backwards.add(grad.x, dx);
  backwards.add(grad.x_back, dx_back);
  backwards.add(grad.beta, -0.7);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

TEST(BackoutNorm, RefusesShapesThatDoNotFit) {
  const Tensor<double> x({2, 3}), other({3, 2});
  EXPECT_THROW(backout_norm(x, other, 0.5), InputError);
  EXPECT_THROW(backout_norm_backward(x, x, 0.5, other), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
