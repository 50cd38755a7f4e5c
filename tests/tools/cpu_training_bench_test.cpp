#include "tools/bench/cpu_training_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reference/error.h"

namespace pairedhead {
namespace {

using ::testing::HasSubstr;

TEST(CpuTrainingBench, TimesEveryPhaseOfTheSchedule) {
  const CpuTrainingTiming timing = time_cpu_training(reference::micro_config(), 3);
  EXPECT_EQ(timing.configuration, "micro");
  EXPECT_GE(timing.threads, 1);
  ASSERT_EQ(timing.phases.size(), 3u);
  Index sequence = 16;
  for (const CpuPhaseTiming& phase : timing.phases) {
    EXPECT_EQ(phase.sequence, sequence);
    EXPECT_EQ(phase.batch_tokens, 8 * sequence);
    EXPECT_GT(phase.fastest, 0);
    EXPECT_LE(phase.fastest, phase.median);
    sequence += 16;
  }
}

TEST(CpuTrainingBench, PrintsMedianFastestAndThreads) {
  const CpuTrainingTiming timing{"tiny", 2, {{512, 64, 100, 90.5}}};
  const std::string table = cpu_training_table(timing);
  EXPECT_THAT(table, HasSubstr("2 threads"));
  EXPECT_THAT(table, HasSubstr("512    64      100.0        90.5      5120"));
  const nlohmann::json json = cpu_training_json(timing);
  EXPECT_EQ(json["threads"], 2);
  EXPECT_EQ(json["phases"][0]["fastest_milliseconds"], 90.5);
  EXPECT_EQ(json["phases"][0]["tokens_per_second"], 5120);
}

TEST(CpuTrainingBench, RefusesAPhaseOfWarmUpAlone) {
  EXPECT_THROW(time_cpu_training(reference::micro_config(), 1), InputError);
}

}  // namespace
}  // namespace pairedhead
