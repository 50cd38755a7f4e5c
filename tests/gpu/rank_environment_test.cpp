#include "gpu/comm/rank_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "reference/error.h"
#include "tests/refusal.h"

namespace pairedhead::gpu {
namespace {

using Environment = std::map<std::string, std::string>;

RankEnvironment read(const Environment& environment) {
  return rank_environment([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

std::string refusal(const Environment& environment) {
  return pairedhead::refusal([&] { read(environment); });
}

Environment of_torchrun() {
  return {{"RANK", "5"},
          {"WORLD_SIZE", "8"},
          {"LOCAL_RANK", "1"},
          {"MASTER_ADDR", "node-0"},
          {"MASTER_PORT", "29500"}};
}

Environment but(const std::string& name, const std::string& value) {
  Environment environment = of_torchrun();
  environment[name] = value;
  return environment;
}

TEST(RankEnvironment, IsOneRankWithoutVariables) {
  const RankEnvironment alone = read({});
  EXPECT_EQ(alone.rank, 0);
  EXPECT_EQ(alone.size, 1);
  EXPECT_EQ(alone.local_rank, 0);
}

TEST(RankEnvironment, ReadsWhatTorchrunSets) {
  const RankEnvironment environment = read(of_torchrun());
  EXPECT_EQ(environment.rank, 5);
  EXPECT_EQ(environment.size, 8);
  EXPECT_EQ(environment.local_rank, 1);
  EXPECT_EQ(environment.address, "node-0");
  EXPECT_EQ(environment.port, 29500);
}

TEST(RankEnvironment, LeavesTheAgentItsPort) {
  EXPECT_EQ(read(but("TORCHELASTIC_USE_AGENT_STORE", "True")).port, 29501);
  EXPECT_EQ(read(but("TORCHELASTIC_USE_AGENT_STORE", "False")).port, 29500);
}

TEST(RankEnvironment, NeedsNoMeetingPlaceForOneRank) {
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}}).size, 1);
}

TEST(RankEnvironment, RefusesWhatIsMissing) {
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}) {
    Environment environment = of_torchrun();
    environment.erase(name);
    EXPECT_EQ(refusal(environment), std::string("environment: expected ") + name +
                                        " beside RANK and WORLD_SIZE, got none");
  }
}

TEST(RankEnvironment, RefusesWhatIsNoNumberOrOutOfRange) {
  EXPECT_EQ(refusal(but("RANK", "8")),
            "environment: RANK: expected a number from 0 to 7, got \"8\"");
  EXPECT_EQ(refusal(but("RANK", "-1")),
            "environment: RANK: expected a number from 0 to 7, got \"-1\"");
  EXPECT_EQ(refusal(but("LOCAL_RANK", "1x")),
            "environment: LOCAL_RANK: expected a number from 0 to 5, got \"1x\"");
  EXPECT_EQ(refusal(but("MASTER_PORT", "65536")),
            "environment: MASTER_PORT: expected a number from 1 to 65535, got \"65536\"");
  EXPECT_EQ(refusal(but("WORLD_SIZE", "9")),
            "environment: WORLD_SIZE: expected a number from 1 to 8, got \"9\"");
  EXPECT_EQ(refusal(but("WORLD_SIZE", "6")),
            "environment: WORLD_SIZE: expected 1, 2, 4 or 8, got \"6\"");
}

}  // namespace
}  // namespace pairedhead::gpu
