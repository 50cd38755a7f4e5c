#include "tools/components/train_step_case.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/optim/cautious_split.h"
#include "reference/random.h"
#include "reference/schedule.h"
#include "tools/components/model_layout.h"

namespace pairedhead {
namespace {

TEST(TrainStepCase, AMoveTellsItsDirection) {
  Random random(1);
  int told_apart = 0;
  for (const double rate : {0.046, 0.0023}) {
    const reference::NormuonRates rates{rate, 1.2 * 0.023};
    for (int i = 0; i < 20000; ++i) {
      const auto before = static_cast<float>(0.3 * random.normal());
      const double size = std::ldexp(1.0, static_cast<int>(random.integer(-20, 0)));
      const std::uint16_t update = to_bf16_bits(size * random.normal());
      const auto move = [&](std::uint16_t bits) {
        return reference::join(reference::cautious_split_update(
            reference::split(before), static_cast<float>(from_bf16_bits(bits)),
            static_cast<float>(rates.learning_rate), static_cast<float>(rates.weight_decay)));
      };
      const std::uint16_t found = recovered_update(before, move(update), rates);
      // Where the move is too small to tell neighbours apart, one that moves as far.
      ASSERT_EQ(move(found), move(update)) << i;
      const double between_neighbours = std::abs(from_bf16_bits(update)) * 0x1p-8 * rate;
      if (between_neighbours > 4 * 0x1p-23 * static_cast<double>(std::abs(before))) {
        ASSERT_EQ(found, update) << i;
        ++told_apart;
      }
    }
  }
  EXPECT_GT(told_apart, 10000);
}

TEST(TrainStepCase, ADirectionThatDoesNotMoveMayStillSpareTheDecay) {
  const reference::NormuonRates rates{0.0023, 0.00276};
  for (const float before : {0.25f, -0.25f}) {
    const std::uint16_t found = recovered_update(before, before, rates);
    const auto update = static_cast<float>(from_bf16_bits(found));
    EXPECT_LT(update * before, 0);
    EXPECT_LT(std::abs(update), 1e-6f);
  }
}

// The decay leaves a gap: nothing ends in it.
TEST(TrainStepCase, WhatNoDirectionDoesIsNotFound) {
  const reference::NormuonRates rates{0.046, 0.0276};
  const float before = 0.25f;
  const auto after = static_cast<float>(0.25 * (1 - 0.5 * 0.046 * 0.0276));
  const auto found = static_cast<float>(from_bf16_bits(recovered_update(before, after, rates)));
  EXPECT_NE(reference::join(
                reference::cautious_split_update(reference::split(before), found, 0.046f, 0.0276f)),
            after);
}

TEST(TrainStepCase, MembersOfAStackComeInOrder) {
  const reference::Config config = reference::micro_config();
  const auto members = stack_members(config, 8);
  ASSERT_EQ(members.size(), parameter_table(config, 8).size());
  EXPECT_EQ(members[0].info.name, "qkvo.0");
  EXPECT_EQ(members[0].count, 10);
  const auto& bank = members[6];  // there is no attention in layer 6
  EXPECT_EQ(bank.info.name, "qkvo.7");
  EXPECT_EQ(bank.number, 6);
  Array stack(DType::bf16, {10, 64, 16});
  Tensor<double> values({64, 16}, 0.5);
  put_member(bank, values, stack);
  for (Index i = 0; i < stack.size(); ++i) {
    ASSERT_EQ(stack.at(i), i / 1024 == 6 ? 0.5 : 0) << i;
  }
  EXPECT_EQ(member_values(bank, stack, {64, 16})(63, 15), 0.5);
  // The padding of scalars has no place in the stack.
  const auto& scalars = members.back();
  EXPECT_EQ(scalars.info.shape, Shape{40});
  const Tensor<double> padded = member_values(scalars, Array(DType::fp32, {36}), {40});
  EXPECT_EQ(padded.size(), 40);
}

TEST(TrainStepCase, KnowsWhereTheScheduleStands) {
  const reference::Config config = reference::micro_config();
  EXPECT_EQ(split_step(config.schedule), 5);
  EXPECT_FALSE(splits_before(5, config));
  EXPECT_TRUE(splits_before(6, config));
  EXPECT_EQ(adam_updates_before(0), 0);
  EXPECT_EQ(adam_updates_before(5), 2);
  EXPECT_EQ(adam_updates_before(6), 3);
}

}  // namespace
}  // namespace pairedhead
