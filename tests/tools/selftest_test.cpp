#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "gpu/comm/rank_meeting.h"
#include "tests/tools/run_program.h"
#include "tests/tools/scratch_folder.h"
#include "tools/selftest/rank_processes.h"

namespace pairedhead::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Selftest, SaysThatTheDevicesAreMissing) {
  const ScratchFolder folder;
  const Ran ran = run_program("selftest --ranks 8 --out '" + (folder / "out").string() + "'");
  if (ran.exit_code == 0) GTEST_SKIP() << "this machine has 8 GPUs";
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.output, HasSubstr("pairedhead: selftest: --ranks 8"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

TEST(Selftest, RefusesOtherNumbersOfRanks) {
  EXPECT_EQ(run_program("selftest --ranks 3 --out x").exit_code, 2);
  EXPECT_EQ(run_program("selftest --out x").exit_code, 2);
}

// What each process of the test below runs.
TEST(RankProcesses, AsARank) {
  const char* const rank = std::getenv("RANK");
  if (rank == nullptr) GTEST_SKIP() << "is run by MeetAndTellHowTheyEnded";
  gpu::RankMeeting meeting(gpu::rank_environment(), std::chrono::seconds(20));
  const auto mine = static_cast<std::byte>(10 + meeting.rank());
  EXPECT_THAT(meeting.gather({&mine, 1}),
              ElementsAre(std::byte{10}, std::byte{11}, std::byte{12}, std::byte{13}));
  if (meeting.rank() == 2) std::_Exit(7);
  if (meeting.rank() == 3) std::abort();
}

TEST(RankProcesses, MeetAndTellHowTheyEnded) {
  const ScratchFolder folder;
  const auto codes = run_ranks(4, 29473, {"--gtest_filter=RankProcesses.AsARank"}, folder.path());
  EXPECT_THAT(codes, ElementsAre(0, 0, 7, 128 + SIGABRT));
  EXPECT_EQ(folder.files(), 4u);
  EXPECT_THAT(text_of(folder / "rank_0.txt"), HasSubstr("PASSED"));
}

}  // namespace
}  // namespace pairedhead::testing
