#include "reference/residual_mix.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

TEST(ResidualMix, ByHand) {
  Tensor<double> x({2, 1}), x0({2, 1}), g({2, 1});
  x[0] = 2, x[1] = -1, x0[0] = 10, x0[1] = 20, g[0] = 1, g[1] = 3;
  const Tensor<double> mixed = residual_mix(x, x0, 0.5, -0.25);
  EXPECT_EQ(mixed[0], -1.5);
  EXPECT_EQ(mixed[1], -5.5);
  const auto grad = residual_mix_backward(x, x0, 0.5, -0.25, g);
  EXPECT_EQ(grad.x[1], 1.5);
  EXPECT_EQ(grad.x0[1], -0.75);
  EXPECT_EQ(grad.rho, 2 - 3);
  EXPECT_EQ(grad.lam, 10 + 60);
}

// SPEC §3.3.2, layer 0: where x is x0, one factor rho + lam.
TEST(ResidualMix, OfEqualTensorsScalesByTheSum) {
  Random random(1);
  const auto x0 = normal_tensor({4, 8}, random), g = normal_tensor({4, 8}, random);
  const Tensor<double> mixed = residual_mix(x0, x0, 1.0, 0.125);
  const auto grad = residual_mix_backward(x0, x0, 1.0, 0.125, g);
  for (Index i = 0; i < x0.size(); ++i) {
    EXPECT_NEAR(mixed[i], 1.125 * x0[i], 0x1p-52 * std::abs(x0[i]));
    EXPECT_NEAR(grad.x[i] + grad.x0[i], 1.125 * g[i], 0x1p-52 * std::abs(g[i]));
  }
  EXPECT_EQ(grad.rho, grad.lam);
}

TEST(ResidualMix, BackwardIsTheTransposedDerivative) {
  Random random(2);
  const Shape shape = {9, 16};
  const auto x = normal_tensor(shape, random), dx = normal_tensor(shape, random);
  const auto x0 = normal_tensor(shape, random), dx0 = normal_tensor(shape, random);
  const auto g = normal_tensor(shape, random);
  InnerProduct forwards, backwards;
  forwards.add(g, residual_mix(dual(x, dx), dual(x0, dx0), Dual(1.1, 0.3), Dual(-0.2, 0.7)));
  const auto grad = residual_mix_backward(x, x0, 1.1, -0.2, g);
  backwards.add(grad.x, dx);
  backwards.add(grad.x0, dx0);
  backwards.add(grad.rho, 0.3);
  backwards.add(grad.lam, 0.7);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

TEST(ResidualMix, DoubleIsAsGoodAsItsRoundingsAllow) {  // three operations; sums of 144 products
  Random random(3);
  const auto x = normal_tensor({9, 16}, random), x0 = normal_tensor({9, 16}, random);
  const auto g = normal_tensor({9, 16}, random);
  const auto mixed = [&]<class Scalar>(Scalar) {
    return residual_mix(cast<Scalar>(x), cast<Scalar>(x0), Scalar(1.1), Scalar(-0.2));
  };
  EXPECT_LE(worst_roundoffs(mixed(0.0), mixed(Float128(0)), mixed(Magnitude(0))), 2);
  const auto rho = [&]<class Scalar>(Scalar) {
    const auto grad = residual_mix_backward(cast<Scalar>(x), cast<Scalar>(x0), Scalar(1.1),
                                            Scalar(-0.2), cast<Scalar>(g));
    return Tensor<Scalar>({1}, grad.rho);
  };
  EXPECT_LE(worst_roundoffs(rho(0.0), rho(Float128(0)), rho(Magnitude(0))), std::sqrt(2 * 144));
}

TEST(ResidualMix, RefusesShapesThatDiffer) {
  const Tensor<double> x({2, 4}), other({4, 2});
  EXPECT_THROW(residual_mix(x, other, 1.0, 1.0), InputError);
  EXPECT_THROW(residual_mix_backward(x, x, 1.0, 1.0, other), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
