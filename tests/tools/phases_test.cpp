#include "tools/bench/phases.h"

#include <gtest/gtest.h>

namespace pairedhead {
namespace {

TEST(Phases, AreThreeOfSoManySteps) {
  const auto schedule = settings_of_phases(reference::micro_config(), 5, 3).config.schedule;
  EXPECT_EQ(schedule.scheduled, 15);
  EXPECT_EQ(schedule.extension, 0);
}

TEST(Phases, OfTooFewStepsAreRefusedWithASentence) {
  EXPECT_NO_THROW(settings_of_phases(reference::micro_config(), 3, 3));
  try {
    settings_of_phases(reference::micro_config(), 2, 3);
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "--steps: expected at least 3 a phase, got 2");
  }
}

}  // namespace
}  // namespace pairedhead
