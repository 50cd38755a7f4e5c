#include "reference/relu_squared.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

TEST(ReluSquared, ByHand) {
  Tensor<double> p({1, 4});
  p[0] = 3, p[1] = -3, p[2] = 0, p[3] = 0.5;
  const Tensor<double> h = relu_squared(p);
  const Tensor<double> grad = relu_squared_backward(p, Tensor<double>({1, 4}, 10.0));
  const double values[] = {9, 0, 0, 0.25}, slopes[] = {60, 0, 0, 10};
  for (Index i = 0; i < 4; ++i) {
    EXPECT_EQ(h[i], values[i]);
    EXPECT_EQ(grad[i], slopes[i]);
  }
}

TEST(ReluSquared, BackwardIsTheTransposedDerivative) {
  Random random(1);
  const Shape shape = {9, 16};
  const auto p = normal_tensor(shape, random), dp = normal_tensor(shape, random);
  const auto g = normal_tensor(shape, random);
  InnerProduct forwards, backwards;
  forwards.add(g, relu_squared(dual(p, dp)));
  backwards.add(relu_squared_backward(p, g), dp);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

TEST(ReluSquared, DoubleIsAsGoodAsItsRoundingsAllow) {  // one product; backward two
  Random random(2);
  const auto p = normal_tensor({9, 16}, random), g = normal_tensor({9, 16}, random);
  EXPECT_LE(worst_roundoffs(relu_squared(p), relu_squared(cast<Float128>(p)),
                            relu_squared(cast<Magnitude>(p))),
            1);
  EXPECT_LE(worst_roundoffs(relu_squared_backward(p, g),
                            relu_squared_backward(cast<Float128>(p), cast<Float128>(g)),
                            relu_squared_backward(cast<Magnitude>(p), cast<Magnitude>(g))),
            2);
}

TEST(ReluSquared, RefusesShapesThatDiffer) {
  EXPECT_THROW(relu_squared_backward(Tensor<double>({2, 4}), Tensor<double>({4, 2})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
