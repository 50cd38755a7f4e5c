#include "reference/optim/variance_reduction.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

const Rounding exact = Rounding::exact();

double norm(const Tensor<double>& x, Index from, Index count) {
  double squares = 0;
  for (Index i = from; i < from + count; ++i) squares += x[i] * x[i];
  return std::sqrt(squares);
}

// SPEC §6.1.5: at the start S = 0.05 m, so that every row comes out equally long.
TEST(VarianceReduction, EvensTheRowsOutAtTheStart) {
  Random random(1);
  auto x = normal_tensor({5, 8}, random);
  for (Index j = 0; j < 8; ++j) x(2, j) *= 100;
  const auto [y, second_moment] = variance_reduction(x, Tensor<double>({5}), exact);
  for (Index i = 0; i < 5; ++i) {
    const double mean = norm(x, 8 * i, 8) * norm(x, 8 * i, 8) / 8;
    EXPECT_NEAR(second_moment[i], 0.05 * mean, 1e-15 * mean);
    EXPECT_NEAR(norm(y, 8 * i, 8), norm(x, 0, 40) / std::sqrt(5.0), 1e-12 * norm(x, 0, 40));
  }
}

TEST(VarianceReduction, ByHand) {
  // Rows (1, -1) and (2, 2): m = 1, 4. S = 0.95 * 19 + 0.05 and 0.95 * 0 + 0.2.
  Tensor<double> x({2, 2}, 2.0), before({2});
  x[0] = 1;
  x[1] = -1;
  before[0] = 19;
  const auto [y, second_moment] = variance_reduction(x, before, exact);
  EXPECT_DOUBLE_EQ(second_moment[0], 18.1);
  EXPECT_NEAR(second_moment[1], 0.2, 1e-15);
  const double s0 = 1 / std::sqrt(18.1), s1 = 1 / std::sqrt(0.2);
  const double rescale = std::sqrt(10.0) / std::sqrt(2 * s0 * s0 + 8 * s1 * s1);
  EXPECT_NEAR(y[1], -s0 * rescale, 1e-15);
  EXPECT_NEAR(y[3], 2 * s1 * rescale, 1e-15);
}

TEST(VarianceReduction, ZeroStaysZero) {  // SPEC §6.6: no NaN
  const auto [y, second_moment] =
      variance_reduction(Tensor<double>({3, 2}), Tensor<double>({3}), exact);
  for (const double value : y.values()) EXPECT_EQ(value, 0);
  for (const double value : second_moment.values()) EXPECT_EQ(value, 0);
}

// Mean squares of 8 terms twice (rows, their sum), root, quotient, product.
TEST(VarianceReduction, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(2);
  const auto x = normal_tensor({6, 8}, random);
  const Tensor<double> before({6}, 0.3);
  const auto computed = variance_reduction(x, before, exact);
  const auto accurate = variance_reduction(cast<Float128>(x), cast<Float128>(before), exact);
  const auto terms = variance_reduction(cast<Magnitude>(x), cast<Magnitude>(before), exact);
  EXPECT_LE(worst_roundoffs(computed.direction, accurate.direction, terms.direction),
            std::sqrt(2 * (8 + 6) + 8));
  EXPECT_LE(worst_roundoffs(computed.second_moment, accurate.second_moment, terms.second_moment),
            std::sqrt(8 + 4));
}

TEST(VarianceReduction, RefusesShapesThatDiffer) {
  EXPECT_THROW(variance_reduction(Tensor<double>({3, 2}), Tensor<double>({2}), exact), InputError);
  EXPECT_THROW(variance_reduction(Tensor<double>({3}), Tensor<double>({3}), exact), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
