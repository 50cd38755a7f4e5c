#include "reference/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "golden/hdf5_file.h"

namespace pairedhead::reference {
namespace {

using testing::ElementsAre;

const ScheduleSettings record;

ScheduleSettings scheduled(Index n, Index extension) {
  ScheduleSettings settings;
  settings.scheduled = n;
  settings.extension = extension;
  return settings;
}

TEST(Schedule, TableOfSpec) {  // SPEC §7.1
  struct Row {
    Index first, last, batch, sequence;
    Windows windows;
    std::size_t mtp;
  };
  const Row rows[] = {{0, 578, 131072, 16384, {1, 3, 128, 384}, 3},
                      {579, 1156, 262144, 32768, {3, 7, 384, 896}, 2},
                      {1157, 1734, 393216, 49152, {5, 11, 640, 1408}, 1},
                      {1735, 1774, 393216, 49152, {6, 13, 768, 1664}, 1}};
  Index tokens = 0;
  for (const Row& row : rows) {
    for (Index step = row.first; step <= row.last; ++step) {
      EXPECT_EQ(batch_tokens(step, record), row.batch) << step;
      EXPECT_EQ(sequence_length(step, record), row.sequence) << step;
      EXPECT_EQ(window_schedule(step, record), row.windows) << step;
      EXPECT_EQ(mtp_weights(step, record).size(), row.mtp) << step;
      tokens += row.batch;
    }
  }
  EXPECT_EQ(tokens, 470417408);
  EXPECT_EQ(window_schedule(1775, record), (Windows{6, 20, 768, 2560}));
}

TEST(Schedule, SampleValuesOfSpec) {  // SPEC §7.2, §7.3
  const std::pair<Index, double> rates[] = {{0, 1},           {578, 1},         {579, 1.52},
                                            {867, 1.52},      {868, 1.519182},  {1156, 1.047758},
                                            {1157, 1.186040}, {1734, 0.101879}, {1735, 0.1},
                                            {1774, 0.1},      {1775, 0.1}};
  for (const auto& [step, rate] : rates) {
    EXPECT_NEAR(learning_rate(step, record), rate, 5e-7) << step;
  }
  const std::pair<Index, double> momenta[] = {{0, 0.85},    {299, 0.949667}, {300, 0.95},
                                              {1725, 0.95}, {1726, 0.948},   {1774, 0.852}};
  for (const auto& [step, value] : momenta) {
    EXPECT_NEAR(momentum(step, record), value, 5e-7) << step;
  }
}

TEST(Schedule, SplitAndTransitions) {  // SPEC §3.5, §7.5
  EXPECT_EQ(split_step(record), 1157);
  EXPECT_THAT(window_transitions(record),
              ElementsAre(WindowTransition{579, 3, 7}, WindowTransition{1157, 7, 11},
                          WindowTransition{1735, 11, 13}));
}

TEST(Schedule, WhereThreeDividesTheSteps) {  // SPEC §7
  const ScheduleSettings settings = scheduled(300, 8);
  EXPECT_EQ(split_step(settings), 201);
  EXPECT_EQ(phase(99, settings), 0);
  EXPECT_EQ(phase(100, settings), 1);
  // The rate changes one step later than the rest.
  EXPECT_EQ(learning_rate(100, settings), 1);
  EXPECT_EQ(learning_rate(101, settings), 1.52);
  EXPECT_DOUBLE_EQ(learning_rate(200, settings), 1.52 * (2.0 / 3) + 0.1 * (1.0 / 3));
  // The record's momentum constants do not scale.
  EXPECT_NEAR(momentum(299, settings), 0.9497, 5e-5);
  EXPECT_NEAR(momentum(300, settings), 0.866, 5e-5);
}

// A change of the windows falls on the step that window_transitions names, for every N.
TEST(Schedule, TransitionsAreWhereTheWindowsChange) {
  for (Index n = 1; n <= 200; ++n) {
    const ScheduleSettings settings = scheduled(n, 5);
    std::vector<WindowTransition> seen;
    Index blocks = settings.long_window[0];
    for (Index step = 0; step < n + 5; ++step) {
      const Index now = window_schedule(step, settings).long_blocks;
      if (now != blocks) seen.push_back({step, blocks, now});
      blocks = now;
    }
    if (n >= 3) {  // shorter schedules skip phases
      EXPECT_EQ(seen, window_transitions(settings)) << "N = " << n;
    }
    EXPECT_EQ(split_step(settings) % 2, 1) << "N = " << n;
    EXPECT_GE(3 * split_step(settings), 2 * n) << "N = " << n;
    EXPECT_LT(3 * (split_step(settings) - 2), 2 * n) << "N = " << n;
  }
}

TEST(Schedule, RefusesWhatIsNoStep) {
  EXPECT_THROW(window_schedule(-1, record), InputError);
  EXPECT_THROW(window_schedule(1776, record), InputError);
  EXPECT_THROW(learning_rate(0, scheduled(0, 5)), InputError);
  EXPECT_THROW(momentum(0, scheduled(5, -1)), InputError);
  try {
    batch_tokens(1776, record);
    FAIL() << "no InputError";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "step: expected 0 to 1775, got 1776");
  }
}

// Every step of the record, as its own program computed it.
TEST(Schedule, AgreesWithTheRecord) {
  const char* shared = std::getenv("PAIREDHEAD_SHARED");
  const std::filesystem::path file =
      std::filesystem::path(shared ? shared : PAIREDHEAD_SOURCE_DIR "/../shared") /
      "record/schedule.h5";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << file.string();
  const hdf5::Reader reader(file);
  EXPECT_EQ(static_cast<Index>(reader.integer("/", "split_step")), split_step(record));
  const auto batch = reader.tensor("batch_size"), rate = reader.tensor("lr_multiplier"),
             muon_momentum = reader.tensor("muon_momentum"), mtp = reader.tensor("mtp_f64"),
             count = reader.tensor("mtp_count"), short_window = reader.tensor("ws_short"),
             long_window = reader.tensor("ws_long");
  ASSERT_EQ(batch.size(), 1776);
  for (Index step = 0; step < batch.size(); ++step) {
    const std::vector<double> weights = mtp_weights(step, record);
    EXPECT_EQ(static_cast<double>(weights.size()), count[step]) << step;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      EXPECT_NEAR(weights[i], mtp(step, static_cast<Index>(i)), 4e-16) << step;
    }
    // The last step is a validation only, with a window that its schedule does not hold yet.
    if (step == 1775) break;
    EXPECT_EQ(static_cast<double>(window_schedule(step, record).short_blocks), short_window[step]);
    EXPECT_EQ(static_cast<double>(window_schedule(step, record).long_blocks), long_window[step]);
    EXPECT_EQ(static_cast<double>(batch_tokens(step, record)), batch[step]) << step;
    EXPECT_NEAR(learning_rate(step, record), rate[step], 4e-16) << step;
    EXPECT_NEAR(momentum(step, record), muon_momentum[step], 4e-16) << step;
  }
}

}  // namespace
}  // namespace pairedhead::reference
