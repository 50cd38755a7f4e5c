#include "reference/optim/momentum.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

Tensor<double> numbers(const std::vector<double>& values) {
  Tensor<double> tensor({static_cast<Index>(values.size())});
  std::copy(values.begin(), values.end(), tensor.values().begin());
  return tensor;
}

TEST(Momentum, ByHand) {  // SPEC §6.1.1-2
  const auto [moment, direction] = momentum_update(numbers({8, -4}), numbers({16, 0}), 0.75);
  EXPECT_EQ(moment[0], 12 + 2);
  EXPECT_EQ(direction[0], 2 + 0.75 * 14);  // with the new moment
  EXPECT_EQ(moment[1], -1);
  EXPECT_EQ(direction[1], -1 - 0.75);
}

// M_t = (1 - mu^t) g: no bias correction.
TEST(Momentum, AConstantGradientIsApproached) {
  Tensor<double> moment({1});
  for (int t = 1; t <= 100; ++t) {
    auto next = momentum_update(numbers({3}), moment, 0.95);
    moment = std::move(next.moment);
    EXPECT_NEAR(moment[0], 3 * (1 - std::pow(0.95, t)), 1e-14);
    EXPECT_NEAR(next.direction[0], 3 * (1 - std::pow(0.95, t + 1)), 1e-14);
  }
}

TEST(Momentum, DoubleIsAsGoodAsItsRoundingsAllow) {  // 3 products and 2 sums at most
  Random random(1);
  const auto g = normal_tensor({500}, random), m = normal_tensor({500}, random);
  const auto computed = momentum_update(g, m, 0.9);
  const auto accurate = momentum_update(cast<Float128>(g), cast<Float128>(m), 0.9);
  const auto terms = momentum_update(cast<Magnitude>(g), cast<Magnitude>(m), 0.9);
  EXPECT_LE(worst_roundoffs(computed.moment, accurate.moment, terms.moment), 3);
  EXPECT_LE(worst_roundoffs(computed.direction, accurate.direction, terms.direction), 5);
}

TEST(Momentum, RefusesShapesThatDiffer) {
  EXPECT_THROW(momentum_update(Tensor<double>({2}), Tensor<double>({3}), 0.9), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
