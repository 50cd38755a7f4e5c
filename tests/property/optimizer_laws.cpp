#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "reference/fp8.h"
#include "reference/optim/cautious_split.h"
#include "reference/optim/polar_express.h"
#include "reference/optim/variance_reduction.h"
#include "tests/property/attention_case.h"

// Polar express acts on singular values alone, variance reduction keeps the norm, and both commute
// with what should make no difference to them.

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

const Rounding exact = Rounding::exact();

Matrix eigen(const Tensor<double>& x) {
  return Eigen::Map<const Matrix>(x.data(), x.dim(0), x.dim(1));
}
Tensor<double> tensor(const Matrix& x) {
  Tensor<double> y({x.rows(), x.cols()});
  Eigen::Map<Matrix>(y.data(), x.rows(), x.cols()) = x;
  return y;
}

Random fuzzed_random() { return Random(*rc::gen::arbitrary<std::uint64_t>()); }

Tensor<double> fuzzed_matrix(Random& random) {
  const Index rows = *rc::gen::inRange<Index>(1, 24), columns = *rc::gen::inRange<Index>(1, 24);
  return normal_tensor({rows, columns}, random);
}

Matrix orthogonal(Index size, Random& random) {
  return Eigen::HouseholderQR<Matrix>(eigen(normal_tensor({size, size}, random))).householderQ();
}

Matrix polar(const Matrix& x) { return eigen(polar_express(tensor(x), true, exact)); }

double difference(const Matrix& a, const Matrix& b) { return (a - b).cwiseAbs().maxCoeff(); }

// A small singular value is enlarged a thousandfold, and with it the roundings.
constexpr double limit = 1e-11;

RC_GTEST_PROP(OptimizerLaws, PolarExpressTakesEachSingularValueToThePolynomial, ()) {
  Random random = fuzzed_random();
  const auto x = fuzzed_matrix(random);
  const Matrix normal = eigen(polar_normalise(x, exact));
  std::vector<double> expected;
  const Eigen::VectorXd before = Eigen::JacobiSVD<Matrix>(normal).singularValues();
  for (double s : before) {
    for (const auto& [a, b, c] : polar_coefficients) s *= a + s * s * (b + s * s * c);
    expected.push_back(std::abs(s));
  }
  std::sort(expected.rbegin(), expected.rend());
  const Eigen::VectorXd after =
      Eigen::JacobiSVD<Matrix>(eigen(polar_express(x, false, exact))).singularValues();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    RC_ASSERT(std::abs(after[static_cast<Index>(i)] - expected[i]) <= 1e-12);
  }
}

RC_GTEST_PROP(OptimizerLaws, PolarExpressCommutesWithRotations, ()) {
  Random random = fuzzed_random();
  const Matrix x = eigen(fuzzed_matrix(random));
  const Matrix left = orthogonal(x.rows(), random), right = orthogonal(x.cols(), random);
  RC_ASSERT(difference(polar(left * x * right), left * polar(x) * right) <= limit);
}

RC_GTEST_PROP(OptimizerLaws, PolarExpressCommutesWithTransposition, ()) {
  Random random = fuzzed_random();
  const Matrix x = eigen(fuzzed_matrix(random));
  RC_ASSERT(difference(polar(x.transpose()), polar(x).transpose()) <= limit);
}

// Rows reordered, rows and columns with their signs turned.
RC_GTEST_PROP(OptimizerLaws, BothCommuteWithPermutationsAndSigns, ()) {
  Random random = fuzzed_random();
  const Matrix x = eigen(fuzzed_matrix(random));
  std::vector<int> order(static_cast<std::size_t>(x.rows()));
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<int>(i);
    std::swap(order[i], order[static_cast<std::size_t>(random.integer(0, static_cast<Index>(i)))]);
  }
  const auto signs = [&](Index count) {
    Eigen::VectorXd values(count);
    for (double& value : values) value = random.integer(0, 1) ? 1 : -1;
    return values;
  };
  const Eigen::VectorXd row_signs = signs(x.rows()), column_signs = signs(x.cols());
  const auto changed = [&](const Matrix& m) {
    Matrix result = row_signs.asDiagonal() * m * column_signs.asDiagonal();
    return Matrix(result(order, Eigen::all));
  };
  RC_ASSERT(difference(polar(changed(x)), changed(polar(x))) <= limit);

  Tensor<double> moment({x.rows()}), changed_moment({x.rows()});
  for (double& value : moment.values()) value = random.uniform01();
  for (Index i = 0; i < x.rows(); ++i) {
    changed_moment[i] = moment[order[static_cast<std::size_t>(i)]];
  }
  const auto reduced = [](const Matrix& m, const Tensor<double>& s) {
    return eigen(variance_reduction(tensor(m), s, exact).direction);
  };
  RC_ASSERT(difference(reduced(changed(x), changed_moment), changed(reduced(x, moment))) <= 1e-12);
}

RC_GTEST_PROP(OptimizerLaws, VarianceReductionKeepsTheNorm, ()) {
  Random random = fuzzed_random();
  const auto x = fuzzed_matrix(random);
  Tensor<double> moment({x.dim(0)});
  for (double& value : moment.values()) value = random.integer(0, 1) ? 0 : random.uniform01();
  const auto y = variance_reduction(x, moment, exact).direction;
  RC_ASSERT(std::abs(eigen(y).norm() - eigen(x).norm()) <= 1e-13 * eigen(x).norm());
}

// Where the direction points away from zero the decay is left out; where not, it only shrinks.
RC_GTEST_PROP(OptimizerLaws, DecayNeverOpposesTheStep, ()) {
  Random random = fuzzed_random();
  const double z = random.normal(), o = random.normal();
  const double with = cautious_update(z, o, 0.05, 0.03), without = cautious_update(z, o, 0.05, 0.0);
  if (o * z >= 0) {
    RC_ASSERT(std::abs(with - without) <= 0.05 * 0.03 * std::abs(z) + 1e-15);
  } else {
    RC_ASSERT(with == without);
  }
  RC_ASSERT((with - without) * z <= 0);
}

RC_GTEST_PROP(OptimizerLaws, Fp8IsMonotonousAndOdd, ()) {
  Random random = fuzzed_random();
  const DType format = *rc::gen::element(DType::e4m3, DType::e5m2);
  const double size = std::exp2(static_cast<double>(random.integer(-20, 18)));
  const double a = size * random.normal(), b = size * random.normal();
  const auto stored = [&](double x) { return from_fp8_bits(format, to_fp8_bits(format, x)); };
  RC_ASSERT(stored(-a) == -stored(a));
  RC_ASSERT(stored(std::min(a, b)) <= stored(std::max(a, b)));
}

}  // namespace
}  // namespace pairedhead::reference
