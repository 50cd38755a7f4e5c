#include "reference/optim/optimizer.h"

#include <gtest/gtest.h>

#include "reference/optim/polar_express.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

const Rounding exact = Rounding::exact();

Tensor<double> in_bf16(Tensor<double> x) {
  for (double& value : x.values()) value = round_to(DType::bf16, value);
  return x;
}

TEST(Optimizer, RatesOfSpec) {  // SPEC §6.1.6
  const Shape shape = {3072, 768};
  const auto bank = normuon_rates(shape, {.matrices = 4}, 1);
  EXPECT_DOUBLE_EQ(bank.learning_rate, 0.046);
  EXPECT_DOUBLE_EQ(bank.weight_decay, 0.0276);
  EXPECT_NEAR(bank.learning_rate * bank.weight_decay, 0.0012696, 1e-15);
  const auto projection = normuon_rates(shape, {.learning_rate_multiplier = 2}, 1.52);
  EXPECT_DOUBLE_EQ(projection.learning_rate, 0.092 * 1.52);
  EXPECT_DOUBLE_EQ(projection.weight_decay, 0.0276 * 1.52);
  EXPECT_DOUBLE_EQ(normuon_rates({3, 12}, {}, 1).learning_rate, 0.023);  // wide: no factor
}

TEST(Optimizer, BetasOfSpec) {  // SPEC §6.3
  EXPECT_EQ(adam_betas("lm_head").beta1, 0.5);
  EXPECT_EQ(adam_betas("value_embed").beta1, 0.75);
  EXPECT_EQ(adam_betas("x0_lambdas").beta1, 0.65);
  EXPECT_EQ(adam_betas("x0_lambdas").beta2, 0.95);
  EXPECT_EQ(adam_betas("scalars").beta2, 0.99);
  EXPECT_THROW(adam_betas("qkvo_bank"), InputError);
}

// A bank's four matrices do not see each other (SPEC §11.44).
TEST(Optimizer, MatricesOfABankAreApart) {
  Random random(1);
  auto direction = normal_tensor({12, 3}, random);
  const auto before = normuon_orthogonal(direction, 4, exact);
  for (Index i = 0; i < 9; ++i) direction[i] *= 7;
  direction[0] += 1;
  const auto after = normuon_orthogonal(direction, 4, exact);
  EXPECT_NE(before[0], after[0]);
  for (Index i = 9; i < 36; ++i) EXPECT_EQ(before[i], after[i]);
  EXPECT_THROW(normuon_orthogonal(direction, 5, exact), InputError);
}

TEST(Optimizer, AtStepZeroAZeroGradientShrinksTheParameter) {  // SPEC §6.6
  Tensor<double> parameter({8, 2}, 0.5);
  NormuonState state = normuon_start({8, 2});
  normuon_update(parameter, state, Tensor<double>({8, 2}), {.matrices = 4}, 1, 0.85, Storage::exact,
                 exact);
  for (const double value : parameter.values()) EXPECT_DOUBLE_EQ(value, 0.5 * (1 - 0.0012696));
  for (const double value : state.second_moment.values()) EXPECT_EQ(value, 0);
}

// Ten steps from random parameters: as defined, both optimizers stay near the exact ones, a matrix
// (with its mantissa) to fp32, Adam's bf16 to a step of bf16.
TEST(Optimizer, StoredStaysNearExact) {
  Random random(2);
  const Shape shape = {12, 3};
  const auto start = in_bf16(normal_tensor(shape, random));
  auto free = start, stored = start, adam_free = start, adam_stored = start;
  NormuonState free_state = normuon_start(shape), stored_state = normuon_start(shape);
  AdamMoments free_moments = adam_start(shape), stored_moments = adam_start(shape);
  const AdamParameter adam = {.betas = adam_betas("lm_head"), .weight_decay_multiplier = 150};
  for (int step = 0; step < 10; ++step) {
    const auto gradient = in_bf16(normal_tensor(shape, random));
    normuon_update(free, free_state, gradient, {.matrices = 4}, 1, 0.9, Storage::exact, exact);
    normuon_update(stored, stored_state, gradient, {.matrices = 4}, 1, 0.9, Storage::as_defined,
                   exact);
    adam_update(adam_free, free_moments, gradient, adam, 1, Storage::exact);
    adam_update(adam_stored, stored_moments, gradient, adam, 1, Storage::as_defined);
  }
  EXPECT_EQ(stored_moments.updates, 10);
  double moved = 0;
  for (Index i = 0; i < start.size(); ++i) {
    const auto bits = std::uint32_t{to_bf16_bits(stored[i])} << 16 |
                      stored_state.mantissa[static_cast<std::size_t>(i)];
    EXPECT_EQ(stored[i], round_to(DType::bf16, stored[i]));
    EXPECT_NEAR(static_cast<double>(std::bit_cast<float>(bits)), free[i], 1e-5);
    EXPECT_EQ(adam_stored[i], round_to(DType::bf16, adam_stored[i]));
    EXPECT_NEAR(adam_stored[i], adam_free[i], 10 * 0x1p-8 * (std::abs(start[i]) + 0.1));
    EXPECT_EQ(stored_state.moment[i], round_to(DType::fp32, stored_state.moment[i]));
    moved = std::max(moved, std::abs(free[i] - start[i]));
  }
  EXPECT_GT(moved, 0.05);
}

// Steps that bf16 alone could not follow: each is a hundredth of its spacing, and truncation would
// take a whole one.
TEST(Optimizer, TheMantissaCarriesOver) {
  Random random(3);
  const auto gradient = in_bf16(normal_tensor({4, 4}, random));
  Tensor<double> stored({4, 4}, 1.0), free = stored;
  NormuonState stored_state = normuon_start({4, 4}), free_state = normuon_start({4, 4});
  for (int step = 0; step < 200; ++step) {
    normuon_update(stored, stored_state, gradient, {}, 0x1p-9, 0.9, Storage::as_defined, exact);
    normuon_update(free, free_state, gradient, {}, 0x1p-9, 0.9, Storage::exact, exact);
  }
  double furthest = 0;
  for (Index i = 0; i < 16; ++i) {
    EXPECT_NEAR(stored[i], free[i], 0x1p-7);
    furthest = std::max(furthest, std::abs(free[i] - 1));
  }
  EXPECT_GT(furthest, 0x1p-8);
}

TEST(Optimizer, RefusesShapesThatDiffer) {
  Tensor<double> parameter({4, 2});
  NormuonState state = normuon_start({4, 2});
  EXPECT_THROW(
      normuon_update(parameter, state, Tensor<double>({2, 4}), {}, 1, 0.9, Storage::exact, exact),
      InputError);
  EXPECT_THROW(normuon_start({4}), InputError);
  AdamMoments moments = adam_start({4});
  EXPECT_THROW(adam_update(parameter, moments, parameter, {adam_betas("embed")}, 1, Storage::exact),
               InputError);
}

}  // namespace
}  // namespace pairedhead::reference
