#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>

#include "reference/mutant.h"
#include "tools/components/component.h"
#include "tools/mutants/kill_table.h"
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

// A bug that does nothing must be reported alive: the table can say no.
TEST(Mutants, AnHonestReferenceIsAlive) {
  const auto target = make_reference_target();
  const auto kills = kill_table({{"nothing", "qk_prepare", "own", "changes nothing", [](bool) {}}},
                                *target, {.cases = 5, .seed = 1});
  ASSERT_EQ(kills.size(), 1u);
  EXPECT_FALSE(kills[0].killed);
  EXPECT_GE(kills[0].cases, 5);
  EXPECT_EQ(kill_json("reference", kills)["alive"], 1);
}

TEST(Calibration, QuantilesAreSamples) {
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_EQ(quantile({7}, 0.999), 7);
  EXPECT_THROW(quantile({}, 0.5), InputError);
}

}  // namespace
}  // namespace pairedhead
