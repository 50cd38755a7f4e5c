#include "reference/optim/polar_express.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

const Rounding exact = Rounding::exact();

std::vector<double> singular_values(const Tensor<double>& x) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> view(x.data(), x.dim(0), x.dim(1));
  const Eigen::VectorXd values = Eigen::JacobiSVD<Matrix>(view).singularValues();
  return {values.begin(), values.end()};
}

double composed(double s) {
  for (const auto& [a, b, c] : polar_coefficients) s = s * (a + b * s * s + c * s * s * s * s);
  return s;
}

TEST(PolarExpress, NormalisesByHand) {  // SPEC §6.1.4: 3-4-5, turned where it is tall
  Tensor<double> x({2, 1});
  x[0] = 3;
  x[1] = -4;
  const auto y = polar_normalise(x, exact);
  EXPECT_EQ(y.shape(), (Shape{1, 2}));
  EXPECT_DOUBLE_EQ(y[0], 3 / (5 * 1.02 + 1e-6));
  EXPECT_DOUBLE_EQ(y[1], -4 / (5 * 1.02 + 1e-6));
}

TEST(PolarExpress, IteratesANumberByTheScalarPolynomial) {
  for (const auto& coefficients : polar_coefficients) {
    const double s = 0.3;
    const auto y = polar_iteration(Tensor<double>({1, 1}, s), coefficients, true, exact);
    EXPECT_NEAR(y[0],
                s * (coefficients.a + coefficients.b * s * s + coefficients.c * s * s * s * s),
                1e-15);
  }
}

TEST(PolarExpress, ZeroStaysZero) {  // SPEC §6.6
  const auto x = polar_express(Tensor<double>({6, 3}), false, exact);
  for (const double value : x.values()) EXPECT_EQ(value, 0);
}

// SPEC §6.1.4 [V]: those of a Gaussian [3072, 768] are sqrt(3072) (1 +- 1/2) long before, its norm
// is sqrt(3072 * 768).
TEST(PolarExpress, SingularValuesOfAGaussianComeNearOne) {
  for (double share = 0.5; share <= 1.5; share += 1e-4) {
    const double s = composed(share / std::sqrt(768.0) / 1.02);
    EXPECT_GE(s, 0.8585) << share;  // SPEC's figures have three digits
    EXPECT_LE(s, 1.1415) << share;
  }
}

TEST(PolarExpress, EachSingularValueIsTheComposedPolynomial) {
  Random random(5);
  for (const Shape& shape : {Shape{12, 12}, Shape{30, 7}, Shape{5, 40}, Shape{1, 9}}) {
    const auto x = normal_tensor(shape, random);
    const auto before = singular_values(polar_normalise(x, exact));
    std::vector<double> expected;
    for (const double s : before) expected.push_back(std::abs(composed(s)));
    std::sort(expected.rbegin(), expected.rend());
    const auto after = singular_values(polar_express(x, false, exact));
    ASSERT_EQ(after.size(), expected.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_NEAR(after[i], expected[i], 1e-12) << to_string(shape) << " " << i;
    }
  }
}

TEST(PolarExpress, FusedOrNotIsARoundingOnly) {
  Random random(6);
  const auto x = normal_tensor({5, 9}, random);
  const auto fused = polar_express(x, true, exact), apart = polar_express(x, false, exact);
  for (Index i = 0; i < x.size(); ++i) EXPECT_EQ(fused[i], apart[i]);
  const auto rounded = polar_iteration(x, polar_coefficients[4], false, Rounding::nearest());
  EXPECT_NE(rounded[0], polar_iteration(x, polar_coefficients[4], true, Rounding::nearest())[0]);
}

// A sum of n products for A, of m for B and for B X, each path of a value the root of that many.
TEST(PolarExpress, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(7);
  auto x = normal_tensor({8, 20}, random);
  for (double& value : x.values()) value *= 0.1;
  for (const auto& coefficients : polar_coefficients) {
    EXPECT_LE(worst_roundoffs(polar_iteration(x, coefficients, true, exact),
                              polar_iteration(cast<Float128>(x), coefficients, true, exact),
                              polar_iteration(cast<Magnitude>(x), coefficients, true, exact)),
              std::sqrt(2 * 20 + 8 + 8 + 4));
  }
  EXPECT_LE(worst_roundoffs(polar_normalise(x, exact), polar_normalise(cast<Float128>(x), exact),
                            polar_normalise(cast<Magnitude>(x), exact)),
            std::sqrt(160 + 4));
}

TEST(PolarExpress, RefusesWhatIsNoMatrix) {
  EXPECT_THROW(polar_express(Tensor<double>({2, 2, 2}), true, exact), InputError);
  EXPECT_THROW(polar_normalise(Tensor<double>({0, 2}), exact), InputError);
  EXPECT_THROW(polar_iteration(Tensor<double>({3, 2}), polar_coefficients[0], true, exact),
               InputError);
}

}  // namespace
}  // namespace pairedhead::reference
