#include "reference/qk_norm.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

double mean_square(const Tensor<double>& x, Index token, Index head) {
  double sum = 0;
  for (Index d = 0; d < x.dim(2); ++d) sum += x(token, head, d) * x(token, head, d);
  return sum / static_cast<double>(x.dim(2));
}

TEST(QkNorm, EachHeadHasUnitMeanSquare) {
  Random random(1);
  Tensor<double> x = normal_tensor({3, 4, 32}, random);
  for (Index d = 0; d < 32; ++d) x(1, 2, d) *= 100;  // no head sees another's size
  const Tensor<double> y = qk_norm(x);
  for (Index t = 0; t < 3; ++t) {
    for (Index h = 0; h < 4; ++h) {
      const double m = mean_square(x, t, h);
      EXPECT_NEAR(mean_square(y, t, h), m / (m + 0x1p-23), 64 * 0x1p-53);
    }
  }
}

TEST(QkNorm, EpsilonIsThatOfFp32) {  // SPEC §0.3: a row of 0.005 comes out near 0.998, not 0.057
  const Tensor<double> y = qk_norm(Tensor<double>({1, 1, 16}, 0.005));
  const double expected = 0.005 / std::sqrt(2.5e-5 + 1.1920928955078125e-07);
  EXPECT_NEAR(y[0], expected, 8 * 0x1p-53);
  EXPECT_NEAR(y[0], 0.9976, 0.0001);
}

TEST(QkNorm, ZeroStaysZeroWithAFiniteGradient) {
  const Tensor<double> zero({1, 2, 8}), g({1, 2, 8}, 1.0);
  const Tensor<double> y = qk_norm(zero), grad = qk_norm_backward(zero, g);
  for (const double value : y.values()) EXPECT_EQ(value, 0);
  const double expected = 1 / std::sqrt(0x1p-23);
  for (const double dx : grad.values()) {
    EXPECT_NEAR(dx, expected, 4 * 0x1p-53 * expected);
  }
}

TEST(QkNorm, BackwardIsTheTransposedDerivative) {
  Random random(2);
  for (const double size : {1e-3, 1.0, 50.0}) {
    const Shape shape = {3, 4, 16};
    Tensor<double> x = normal_tensor(shape, random);
    for (double& value : x.values()) value *= size;
    const Tensor<double> dx = normal_tensor(shape, random), g = normal_tensor(shape, random);
    InnerProduct forwards, backwards;
    forwards.add(g, qk_norm(dual(x, dx)));
    backwards.add(qk_norm_backward(x, g), dx);
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

// Longest path: D sums of squares, mean, epsilon, root (halving the relative error), reciprocal,
// product; backward twice that with the projection's D products and sums. Independent errors add up
// to the root of their number.
TEST(QkNorm, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(3);
  const Shape shape = {5, 3, 64};
  const Tensor<double> x = normal_tensor(shape, random), g = normal_tensor(shape, random);
  EXPECT_LE(worst_roundoffs(qk_norm(x), qk_norm(cast<Float128>(x)), qk_norm(cast<Magnitude>(x))),
            std::sqrt(64 + 6));
  EXPECT_LE(worst_roundoffs(qk_norm_backward(x, g),
                            qk_norm_backward(cast<Float128>(x), cast<Float128>(g)),
                            qk_norm_backward(cast<Magnitude>(x), cast<Magnitude>(g))),
            std::sqrt(3 * (64 + 6)));
}

TEST(QkNorm, RefusesShapesThatDiffer) {
  EXPECT_THROW(qk_norm_backward(Tensor<double>({1, 2, 8}), Tensor<double>({2, 1, 8})), InputError);
  EXPECT_THROW(qk_norm(Tensor<double>({2, 8})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
