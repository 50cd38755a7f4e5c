#include "tools/train/ensemble.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/error.h"
#include "reference/random.h"

namespace pairedhead {
namespace {

TrainingCurve curve(const std::vector<double>& losses) {
  TrainingCurve result;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    result.training.push_back({static_cast<Index>(i), losses[i], {}});
  }
  return result;
}

TEST(Ensemble, TheDeviationIsStudentised) {
  // Mean 2, deviation 1, of a fourth value sqrt(4/3).
  const auto verdict = judge_ensemble(curve({4}), {curve({1}), curve({2}), curve({3})});
  EXPECT_DOUBLE_EQ(verdict.largest, 2 / std::sqrt(4.0 / 3));
  // 1 against 2 and 3: 1.5 in deviations of sqrt(0.5 * 1.5).
  EXPECT_DOUBLE_EQ(verdict.limit, 2 * 1.5 / std::sqrt(0.75));
  EXPECT_TRUE(verdict.holds());
}

TEST(Ensemble, AnHonestRunHoldsAndAnotherDoesNot) {
  Random random(1);
  const auto drawn = [&](double more) {
    std::vector<double> losses;
    for (int step = 0; step < 60; ++step)
      losses.push_back(6 - 0.05 * step + 0.01 * random.normal());
    losses[40] += more;
    return curve(losses);
  };
  std::vector<TrainingCurve> members;
  for (int i = 0; i < 16; ++i) members.push_back(drawn(0));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(judge_ensemble(drawn(0), members).holds()) << i;
  const auto verdict = judge_ensemble(drawn(0.2), members);
  EXPECT_FALSE(verdict.holds());
  EXPECT_EQ(verdict.step, 40);
}

TEST(Ensemble, StepsThatAMemberLacksAreLeftOut) {
  const auto verdict = judge_ensemble(curve({2, 100}), {curve({1, 5}), curve({2, 6}), curve({3})});
  EXPECT_EQ(verdict.largest, 0);
}

TEST(Ensemble, NoNumberDoesNotHold) {
  const auto verdict = judge_ensemble(curve({std::nan("")}), {curve({1}), curve({2}), curve({3})});
  EXPECT_FALSE(verdict.holds());
}

TEST(Ensemble, TwoMembersAreTooFew) {
  EXPECT_THROW(judge_ensemble(curve({1}), {curve({1}), curve({2})}), InputError);
}

}  // namespace
}  // namespace pairedhead
