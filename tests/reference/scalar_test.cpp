#include "reference/scalar.h"

#include <gtest/gtest.h>

namespace pairedhead {
namespace {

// f(x) = exp(x) * sqrt(x) / (1 + log(x)) - x, with its derivative by hand.
template <class Scalar>
Scalar composite(Scalar x) {
  using pairedhead::exp, pairedhead::log, pairedhead::sqrt;
  using std::exp, std::log, std::sqrt;
  Scalar sum = exp(x) * sqrt(x) / (Scalar(1) + log(x));
  sum -= x;
  return sum;
}

TEST(Scalar, DualCarriesTheDerivative) {
  const double x = 1.7, e = std::exp(x), r = std::sqrt(x), l = 1 + std::log(x);
  const double expected = (e * r + e / (2 * r)) / l - e * r / (l * l * x) - 1;
  const Dual y = composite(Dual(x, 1));
  EXPECT_DOUBLE_EQ(y.value, composite(x));
  EXPECT_NEAR(y.derivative, expected, 16 * 0x1p-53 * std::abs(expected));
  EXPECT_EQ(composite(Dual(x, 0)).derivative, 0);
}

TEST(Scalar, DualOperatorsFollowTheRules) {
  const Dual a(3, 5), b(2, -7);
  EXPECT_EQ((a + b).derivative, -2);
  EXPECT_EQ((a - b).derivative, 12);
  EXPECT_EQ((-a).derivative, -5);
  EXPECT_EQ((a * b).derivative, 5 * 2 + 3 * -7);
  EXPECT_EQ((a / b).derivative, (5 * 2 - 3 * -7) / 4.0);
  EXPECT_TRUE(b < a);
  EXPECT_TRUE(a > b);
}

TEST(Scalar, MagnitudeSumsAbsoluteValues) {
  const Magnitude a(3), b(-3);
  EXPECT_EQ((a + b).value, 0);
  EXPECT_EQ((a + b).magnitude, 6);
  EXPECT_EQ((a - b).magnitude, 6);
  EXPECT_EQ((a * b).value, -9);
  EXPECT_EQ((a * b).magnitude, 9);
  EXPECT_EQ((-a).magnitude, 3);
  EXPECT_EQ((a / b).value, -1);
  EXPECT_EQ((a / b).magnitude, 1);
  // A denominator that cancelled makes the quotient as uncertain as itself.
  const Magnitude cancelled = Magnitude(3) + Magnitude(-2);
  EXPECT_EQ((a / cancelled).magnitude, 15);
}

// A factor that cancelled to nothing leaves the other's value times its own uncertainty, however
// often it is multiplied; two of them meet in second order.
TEST(Scalar, MagnitudeOfAChainOfCancelledFactorsStaysOfFirstOrder) {
  const Magnitude nothing = Magnitude(3) - Magnitude(3), little(0x1p-10, 2);
  EXPECT_EQ((nothing * Magnitude(-5)).magnitude, 30);
  EXPECT_EQ((nothing * nothing).magnitude, 36 * Magnitude::second_order);
  Magnitude chain(1);
  for (int i = 0; i < 2000; ++i) chain *= little / little;
  EXPECT_LE(chain.magnitude, 0x1p40);
}

// To first order, an input that is off by u times its magnitude moves the result by no more than u
// times the result's magnitude.
TEST(Scalar, MagnitudeBoundsThePropagatedError) {
  const double u = 0x1p-30;
  for (const double x : {0.6, 1.0, 1.7, 5.0}) {
    const Magnitude y = composite(Magnitude(x));
    EXPECT_EQ(y.value, composite(x));
    EXPECT_GE(y.magnitude, std::abs(y.value));
    for (const double sign : {-1.0, 1.0}) {
      EXPECT_LE(std::abs(composite(x * (1 + sign * u)) - y.value), 1.001 * u * y.magnitude);
    }
  }
}

TEST(Scalar, SigmoidIsTheLogisticFunction) {
  EXPECT_EQ(sigmoid(0.0), 0.5);
  EXPECT_NEAR(sigmoid(std::log(3.0)), 0.75, 0x1p-52);
  EXPECT_EQ(sigmoid(-1000.0), 0);  // e^1000 is no number, its reciprocal is
  EXPECT_EQ(sigmoid(1000.0), 1);
  EXPECT_NEAR(sigmoid(Dual(std::log(3.0), 1)).derivative, 3.0 / 16, 0x1p-52);
}

TEST(Scalar, Float128AgreesWithDoubleAndGoesOn) {
  for (const double x : {0.3, 1.7, 4.0}) {
    const double y = composite(x);
    EXPECT_NEAR(static_cast<double>(composite(Float128(x))), y, 32 * 0x1p-53 * (1 + std::abs(y)));
  }
  const Float128 third = Float128(1) / Float128(3);
  EXPECT_LE(static_cast<double>(exp(log(third)) - third), 1e-33);
  EXPECT_LE(static_cast<double>(sqrt(third) * sqrt(third) - third), 1e-33);
  EXPECT_GE(static_cast<double>(sqrt(third) * sqrt(third) - third), -1e-33);
}

}  // namespace
}  // namespace pairedhead
