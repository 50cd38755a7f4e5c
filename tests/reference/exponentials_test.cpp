#include "reference/exponentials.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

double alone(double x) {
  exponentials(&x, 1);
  return x;
}

TEST(Exponentials, AreWithinTwoUnitsInTheLastPlace) {
  Random random(1);
  for (const double reach : {1e-3, 1.0, 30.0, 700.0}) {
    for (int i = 0; i < 20000; ++i) {
      const double x = reach * (2 * random.uniform01() - 1);
      const Float128 wanted = exp(Float128(x));
      const double unit = std::ldexp(1.0, std::ilogb(static_cast<double>(wanted)) - 52);
      const auto error = std::abs(static_cast<double>(Float128(alone(x)) - wanted));
      ASSERT_LE(error, 2 * unit) << "e^" << x;
    }
  }
}

// Whatever stands beside it in a vector register, and at the end of a row.
TEST(Exponentials, DependOnTheirNumberAlone) {
  Random random(2);
  for (Index count = 0; count <= 13; ++count) {
    std::vector<double> x;
    for (Index i = 0; i < count; ++i) x.push_back(20 * random.normal());
    std::vector<double> row = x;
    row.push_back(-7);
    exponentials(row.data(), count);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(row[i], alone(x[i])) << count << ", " << i;
    EXPECT_EQ(row.back(), -7) << "behind " << count;
  }
}

TEST(Exponentials, EndWhereDoubleEnds) {
  EXPECT_EQ(alone(0), 1);
  EXPECT_EQ(alone(-0.0), 1);
  EXPECT_GT(alone(709.7), 1e308);
  for (const double low : {-746.0, -1e300, -std::numeric_limits<double>::infinity()}) {
    EXPECT_GE(alone(low), 0) << low;
    EXPECT_LE(alone(low), std::numeric_limits<double>::min()) << low;
  }
  EXPECT_TRUE(std::isnan(alone(std::numeric_limits<double>::quiet_NaN())));
}

TEST(Exponentials, OfOtherScalarsAreTheirOwn) {
  Dual x[] = {Dual(0.5, 2), Dual(-1, 3)};
  exponentials(x, 2);
  EXPECT_EQ(x[0].value, std::exp(0.5));
  EXPECT_EQ(x[0].derivative, 2 * std::exp(0.5));
  EXPECT_EQ(x[1].derivative, 3 * std::exp(-1.0));
}

}  // namespace
}  // namespace pairedhead::reference
