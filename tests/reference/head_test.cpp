#include "reference/head.h"

#include <gtest/gtest.h>

#include "reference/fp8.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

Tensor<double> matrix(const Shape& shape, std::initializer_list<double> values) {
  Tensor<double> tensor(shape);
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

const double xs = fp8_activation_scale, wsc = fp8_weight_scale, gs = fp8_gradient_scale;

// Operands that are codes times their scale: 3 and -1.5 times xs, 2 and 0.25 times wsc.
TEST(Head, HandWorkedCodes) {  // SPEC §3.8
  const Tensor<double> x = matrix({1, 2}, {3 * xs, -1.5 * xs});
  const Tensor<double> w = matrix({1, 2}, {2 * wsc, 0.25 * wsc});
  const Tensor<double> z = head(x, w, HeadForm::fp8);
  EXPECT_DOUBLE_EQ(z[0], xs * wsc * (6 - 0.375));
  const auto grad = head_backward(x, w, matrix({1, 1}, {1.25 * gs}), HeadForm::fp8);
  EXPECT_DOUBLE_EQ(grad.x[0], gs * wsc * 2.5);
  EXPECT_DOUBLE_EQ(grad.x[1], gs * wsc * 0.3125);
  EXPECT_DOUBLE_EQ(grad.w[0], xs * gs * 3.75);
  EXPECT_DOUBLE_EQ(grad.w[1], xs * gs * -1.875);
}

TEST(Head, WeightsSaturateBeyondOnePointSix) {  // SPEC §3.8
  const Tensor<double> x = matrix({1, 1}, {xs});
  const double limit = head(x, matrix({1, 1}, {1.6}), HeadForm::fp8)[0];
  EXPECT_DOUBLE_EQ(limit, xs * wsc * 448);
  EXPECT_EQ(head(x, matrix({1, 1}, {5}), HeadForm::fp8)[0], limit);
  EXPECT_EQ(head(x, matrix({1, 1}, {-5}), HeadForm::fp8)[0], -limit);
}

// SPEC §5: the smallest subnormal of e5m2 is 2^-16; what lies under half of it is lost.
TEST(Head, GradientsHaveAFloor) {
  const Tensor<double> x = matrix({1, 1}, {xs}), w = matrix({1, 1}, {wsc});
  const auto at = [&](double grad_z) {
    return head_backward(x, w, matrix({1, 1}, {grad_z}), HeadForm::fp8).x[0];
  };
  EXPECT_DOUBLE_EQ(at(0x1p-16 * gs), 0x1p-16 * gs * wsc);
  EXPECT_EQ(at(0.4 * 0x1p-16 * gs), 0);
  EXPECT_DOUBLE_EQ(at(0.6 * 0x1p-16 * gs), 0x1p-16 * gs * wsc);
}

TEST(Head, Bf16IsTheLinearLayer) {
  Random random(1);
  const Tensor<double> x = normal_tensor({3, 5}, random), w = normal_tensor({4, 5}, random),
                       g = normal_tensor({3, 4}, random);
  const Tensor<double> z = head(x, w, HeadForm::bf16), plain = linear(x, w);
  for (Index i = 0; i < z.size(); ++i) EXPECT_EQ(z[i], plain[i]);
  const auto grad = head_backward(x, w, g, HeadForm::bf16), expected = linear_backward(x, w, g);
  for (Index i = 0; i < x.size(); ++i) EXPECT_EQ(grad.x[i], expected.x[i]);
  for (Index i = 0; i < w.size(); ++i) EXPECT_EQ(grad.w[i], expected.w[i]);
}

// A code keeps 4 significant bits of an operand, so the product is off by 2^-4 of each at most.
TEST(Head, Fp8IsNearTheLinearLayer) {
  Random random(2);
  const Tensor<double> x = normal_tensor({6, 32}, random);
  Tensor<double> w = normal_tensor({16, 32}, random);
  for (double& value : w.values()) value *= 0.1;
  const Tensor<double> z = head(x, w, HeadForm::fp8), plain = linear(x, w);
  bool differ = false;
  for (Index t = 0; t < 6; ++t) {
    for (Index n = 0; n < 16; ++n) {
      double terms = 0;
      for (Index k = 0; k < 32; ++k) terms += std::abs(x(t, k) * w(n, k));
      EXPECT_LE(std::abs(z(t, n) - plain(t, n)), terms / 7);
      differ = differ || z(t, n) != plain(t, n);
    }
  }
  EXPECT_TRUE(differ);
}

TEST(Head, ValidationTakesBf16) {  // SPEC §3.8
  EXPECT_EQ(head_form(HeadForm::fp8, true), HeadForm::bf16);
  EXPECT_EQ(head_form(HeadForm::fp8, false), HeadForm::fp8);
  EXPECT_EQ(head_form(HeadForm::bf16, false), HeadForm::bf16);
}

}  // namespace
}  // namespace pairedhead::reference
