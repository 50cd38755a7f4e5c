#include "reference/rms_norm.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

TEST(RmsNorm, ByHand) {  // mean square 12.5 and 1/2: the mean belongs to a token
  Tensor<double> x({2, 2});
  x(0, 0) = 3, x(0, 1) = -4, x(1, 0) = 1, x(1, 1) = 0;
  const Tensor<double> y = rms_norm(x);
  EXPECT_NEAR(y(0, 0), 3 / std::sqrt(12.5 + 0x1p-23), 4 * 0x1p-53);
  EXPECT_NEAR(y(0, 1), -4 / std::sqrt(12.5 + 0x1p-23), 4 * 0x1p-53);
  EXPECT_NEAR(y(1, 0), 1 / std::sqrt(0.5 + 0x1p-23), 4 * 0x1p-53);
  EXPECT_EQ(y(1, 1), 0);
}

// One channel: y = x / sqrt(x^2 + eps), whose derivative is eps / (x^2 + eps)^(3/2).
TEST(RmsNorm, BackwardByHand) {
  const double x = 0x1p-11;
  const Tensor<double> grad =
      rms_norm_backward(Tensor<double>({1, 1}, x), Tensor<double>({1, 1}, 2.0));
  const double expected = 2 * 0x1p-23 / std::pow(x * x + 0x1p-23, 1.5);
  EXPECT_NEAR(grad[0], expected, 16 * 0x1p-53 * expected);
}

TEST(RmsNorm, BackwardIsTheTransposedDerivative) {
  Random random(1);
  for (const double size : {1e-3, 1.0, 50.0}) {
    for (const Shape& shape : {Shape{7, 24}, Shape{3, 4, 16}}) {
      Tensor<double> x = normal_tensor(shape, random);
      for (double& value : x.values()) value *= size;
      const auto dx = normal_tensor(shape, random), g = normal_tensor(shape, random);
      InnerProduct forwards, backwards;
      forwards.add(g, rms_norm(dual(x, dx)));
      backwards.add(rms_norm_backward(x, g), dx);
      EXPECT_LE(disagreement(forwards, backwards), certified_limit);
    }
  }
}

// As for QkNorm: C sums of squares, mean, epsilon, root, reciprocal, product; backward the
// projection besides. Independent errors add up to the root of their number.
TEST(RmsNorm, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(2);
  const auto x = normal_tensor({5, 96}, random), g = normal_tensor({5, 96}, random);
  EXPECT_LE(worst_roundoffs(rms_norm(x), rms_norm(cast<Float128>(x)), rms_norm(cast<Magnitude>(x))),
            std::sqrt(96 + 6));
  EXPECT_LE(worst_roundoffs(rms_norm_backward(x, g),
                            rms_norm_backward(cast<Float128>(x), cast<Float128>(g)),
                            rms_norm_backward(cast<Magnitude>(x), cast<Magnitude>(g))),
            std::sqrt(3 * (96 + 6)));
}

TEST(RmsNorm, RefusesShapesThatDiffer) {
  EXPECT_THROW(rms_norm(Tensor<double>({0, 4})), InputError);
  EXPECT_THROW(rms_norm(Tensor<double>()), InputError);
  EXPECT_THROW(rms_norm_backward(Tensor<double>({2, 4}), Tensor<double>({4, 2})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
