#include "reference/optim/adam.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pairedhead::reference {
namespace {

const AdamSettings plain = {.beta1 = 0.9, .beta2 = 0.99, .learning_rate = 0.01};

// One exact update.
AdamState<double> update(double p, double m, double v, double g, const AdamSettings& settings) {
  return adam_update(AdamState<double>{p, m, v}, g, settings);
}

TEST(Adam, AFirstStepIsTheRate) {  // SPEC §6.3: m / sqrt(v) is (1-b1)/sqrt(1-b2) times the sign
  const auto moved = update(1, 0, 0, -0.25, plain);
  EXPECT_DOUBLE_EQ(moved.first, -0.025);
  EXPECT_NEAR(moved.second, 0.01 * 0.0625, 1e-17);
  EXPECT_NEAR(moved.parameter, 1 + 0.01, 1e-9);
}

// With a constant gradient m = (1 - b1^t) g and v = (1 - b2^t) g^2, so that every step is the rate
// but for epsilon, which is outside the root and not corrected.
TEST(Adam, AConstantGradientHasAClosedForm) {
  const double g = 3e-4;
  AdamSettings settings = plain;
  AdamState<double> state = {0.5, 0, 0};
  double expected = 0.5;
  for (settings.updates = 1; settings.updates <= 600; ++settings.updates) {
    state = adam_update(state, g, settings);
    const auto t = static_cast<double>(settings.updates);
    const double root = std::sqrt(1 - std::pow(0.99, t));
    expected -= 0.01 * root * g / (g * root + 1e-10);
    ASSERT_NEAR(state.first, (1 - std::pow(0.9, t)) * g, 1e-12 * g) << t;
    ASSERT_NEAR(state.second, root * root * g * g, 1e-12 * g * g) << t;
    ASSERT_NEAR(state.parameter, expected, 1e-12 * t) << t;
  }
}

TEST(Adam, EpsilonIsOutsideTheRoot) {  // SPEC §11.37: a gradient of epsilon's size halves the step
  const AdamSettings settings = {.beta1 = 0, .beta2 = 0, .learning_rate = 1};
  EXPECT_DOUBLE_EQ(update(0, 0, 0, -1e-10, settings).parameter, 0.5);
}

TEST(Adam, DecayIsTheSquareOfTheRate) {  // SPEC §11.38
  const AdamSettings settings = {
      .beta1 = 0, .beta2 = 0, .learning_rate = 0.5, .weight_decay = 0.125};
  EXPECT_NEAR(update(8, 0, 0, 1, settings).parameter, 8 - 0.5 - 8 * 0.25 * 0.125, 1e-9);
  EXPECT_NEAR(update(8, 0, 0, -1, settings).parameter, 8 + 0.5, 1e-9);
  EXPECT_NEAR(update(-8, 0, 0, -1, settings).parameter, -8 + 0.5 + 8 * 0.25 * 0.125, 1e-9);
}

TEST(Adam, WhatWasNeverTouchedStaysPut) {  // SPEC §11.39
  const AdamSettings settings = {.learning_rate = 1, .weight_decay = 0.75};
  for (const DType storage : {DType::bf16, DType::fp32}) {
    const auto moved = adam_step({0.375f, 0, 0}, 0, settings, storage);
    EXPECT_EQ(moved.parameter, 0.375f);
    EXPECT_EQ(moved.first, 0);
    EXPECT_EQ(moved.second, 0);
  }
}

TEST(Adam, Bf16LosesWhatIsSmallerThanHalfAStep) {
  const AdamSettings settings = {.beta1 = 0, .beta2 = 0, .learning_rate = 0x1p-11};
  EXPECT_EQ(adam_step({1, 0, 0}, 1, settings, DType::bf16).parameter, 1);
  EXPECT_EQ(adam_step({1, 0, 0}, 1, settings, DType::fp32).parameter, 1 - 0x1p-11f);
  // Nearest, not truncated: three quarters of a step go to the whole one.
  const AdamSettings larger = {.beta1 = 0, .beta2 = 0, .learning_rate = 0.75 * 0x1p-8};
  EXPECT_EQ(adam_step({1, 0, 0}, 1, larger, DType::bf16).parameter, 1 - 0x1p-8f);
}

TEST(Adam, NanAndOverflow) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto poisoned = adam_step({1, 0, 0}, nan, plain, DType::bf16);
  EXPECT_TRUE(std::isnan(poisoned.parameter));
  EXPECT_TRUE(std::isnan(poisoned.first));
  EXPECT_TRUE(std::isnan(poisoned.second));
  // The square overflows, the step then vanishes.
  const auto huge = adam_step({1, 0, 0}, 1e30f, plain, DType::fp32);
  EXPECT_EQ(huge.second, std::numeric_limits<float>::infinity());
  EXPECT_EQ(huge.parameter, 1);
}

TEST(Adam, RefusesWhatIsNoUpdate) {
  AdamSettings settings = plain;
  settings.updates = 0;
  EXPECT_THROW(update(1, 0, 0, 1, settings), InputError);
  EXPECT_THROW(adam_step({1, 0, 0}, 1, plain, DType::fp64), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
