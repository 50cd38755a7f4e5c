#include "reference/lambda_linear.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

template <class Scalar>
struct Gradients {
  Tensor<Scalar> a, w;
  Scalar lambda;
};

template <class Scalar>
Gradients<Scalar> gradients(const Tensor<Scalar>& a, const Tensor<Scalar>& w, const Scalar& lambda,
                            const Tensor<Scalar>& grad_u, Rounding rounding) {
  auto grad_w = Tensor<Scalar>::unwritten(w.shape());
  LambdaLinearGradients<Scalar> grad =
      lambda_linear_backward(a, w, lambda, grad_u, rounding, grad_w);
  return {std::move(grad.a), std::move(grad_w), grad.lambda};
}

TEST(LambdaLinear, ByHand) {
  Tensor<double> a({1, 2}), w({1, 2}), g({1, 1}, 5.0);
  a[0] = 1, a[1] = 10, w[0] = 2, w[1] = 3;
  EXPECT_EQ(lambda_linear(a, w, 0.5, Rounding::exact())[0], 16);
  const auto grad = gradients(a, w, 0.5, g, Rounding::exact());
  EXPECT_EQ(grad.a[1], 7.5);    // g * 0.5 * 3
  EXPECT_EQ(grad.w[1], 25);     // 0.5 * 5 * 10
  EXPECT_EQ(grad.lambda, 160);  // 5 * (1 * 2 + 10 * 3)
}

// SPEC §3.10: lambda w is stored in bf16, and so is dW', which both dw and d(lambda) come from.
TEST(LambdaLinear, RoundsTheScaledWeightAndItsGradient) {
  const double lambda = 1 + 0x1p-7, w = 1 + 0x1p-7;                // product 1 + 2^-6 + 2^-14
  const double a = 1 + 0x1p-7, g = 1 + 0x1p-7, kept = 1 + 0x1p-6;  // all products alike
  const Tensor<double> one_a({1, 1}, a), one_w({1, 1}, w), one_g({1, 1}, g);
  EXPECT_EQ(lambda_linear(one_a, one_w, lambda, Rounding::nearest())[0], a * kept);
  const auto grad = gradients(one_a, one_w, lambda, one_g, Rounding::nearest());
  EXPECT_EQ(grad.a[0], g * kept);
  EXPECT_EQ(grad.w[0], lambda * kept);
  EXPECT_EQ(grad.lambda, w * kept);
}

TEST(LambdaLinear, BackwardIsTheTransposedDerivative) {
  Random random(1);
  const auto a = normal_tensor({9, 13}, random), da = normal_tensor({9, 13}, random);
  const auto w = normal_tensor({7, 13}, random), dw = normal_tensor({7, 13}, random);
  const auto g = normal_tensor({9, 7}, random);
  InnerProduct forwards, backwards;
  forwards.add(g, lambda_linear(dual(a, da), dual(w, dw), Dual(0.5, 1.3), Rounding::exact()));
  const auto grad = gradients(a, w, 0.5, g, Rounding::exact());
  backwards.add(grad.a, da);
  backwards.add(grad.w, dw);
  backwards.add(grad.lambda, 1.3);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// A product, then sums of 50 products (9 in dw); d(lambda) sums 2500 of those besides.
TEST(LambdaLinear, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(2);
  const auto a = normal_tensor({9, 50}, random), w = normal_tensor({50, 50}, random);
  const auto g = normal_tensor({9, 50}, random);
  const auto grad = [&]<class Scalar>(Scalar) {
    return gradients(cast<Scalar>(a), cast<Scalar>(w), Scalar(0.3), cast<Scalar>(g),
                     Rounding::exact());
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  EXPECT_LE(worst_roundoffs(computed.a, accurate.a, terms.a), std::sqrt(101));
  EXPECT_LE(worst_roundoffs(computed.w, accurate.w, terms.w), std::sqrt(19));
  EXPECT_LE(
      worst_roundoffs(Tensor<double>({1}, computed.lambda), Tensor<Float128>({1}, accurate.lambda),
                      Tensor<Magnitude>({1}, terms.lambda)),
      std::sqrt(18 + 5000));
}

TEST(LambdaLinear, RefusesShapesThatDoNotFit) {
  const Tensor<double> a({2, 3}), w({4, 3});
  EXPECT_THROW(lambda_linear(a, Tensor<double>({3, 4}), 1.0, Rounding::exact()), InputError);
  EXPECT_THROW(gradients(a, w, 1.0, Tensor<double>({4, 2}), Rounding::exact()), InputError);
  Tensor<double> narrow({4, 2});
  EXPECT_THROW(lambda_linear_backward(a, w, 1.0, Tensor<double>({2, 4}), Rounding::exact(), narrow),
               InputError);
}

}  // namespace
}  // namespace pairedhead::reference
