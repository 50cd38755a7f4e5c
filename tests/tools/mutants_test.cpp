#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>

#include "reference/error.h"
#include "reference/mutant.h"
#include "tests/tools/fake_component.h"
#include "tools/components/component.h"
#include "tools/mutants/kill_table.h"
#include "tools/targets/target.h"
#include "tools/verify/calibration.h"

namespace pairedhead {
namespace {

// The whole table, as `pairedhead mutants` prints it: exit code 0 means that every one was killed.
TEST(Mutants, AllAreKilled) { EXPECT_EQ(std::system(PAIREDHEAD_BINARY " mutants"), 0); }

// shard_reader is held against damaged files instead.
TEST(Mutants, EveryRowButTheShardReaderHasOne) {
  std::set<std::string> rows, covered;
  for (const Component& component : component_table()) rows.insert(component.name);
  for (const MutantInfo& info : mutant_table()) covered.emplace(info.component);
  rows.erase("shard_reader");
  EXPECT_EQ(covered, rows);
}

PlantedBug nothing(const std::string& component) {
  return {"nothing", component, "own", "changes nothing", [](bool) {}};
}

// A bug that does nothing must be reported alive, where outputs are judged one by one and where
// they are judged in stages: the table can say no.
TEST(Mutants, AnHonestReferenceIsAlive) {
  const auto target = make_target("rounded");
  const auto kills =
      kill_table({nothing("qk_prepare"), nothing("model")}, *target, {.cases = 5, .seed = 1});
  ASSERT_EQ(kills.size(), 2u);
  for (const Kill& kill : kills) {
    EXPECT_FALSE(kill.killed) << kill.why;
    EXPECT_GE(kill.cases, 5);
  }
  EXPECT_EQ(kill_json("reference", kills)["alive"], 2);
}

TEST(Mutants, ACaseThatFailsAnywayIsRefused) {
  testing::FakeTarget idle([](const Parameters&, const Arrays&, Arrays&) {});
  EXPECT_THROW(kill_table({nothing("qk_prepare")}, idle, {.cases = 1, .seed = 1}), InputError);
}

TEST(Calibration, QuantilesAreSamples) {
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_EQ(quantile({7}, 0.999), 7);
  EXPECT_THROW(quantile({}, 0.5), InputError);
}

}  // namespace
}  // namespace pairedhead
