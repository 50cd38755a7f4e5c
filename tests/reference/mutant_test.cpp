#include "reference/mutant.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pairedhead {
namespace {

TEST(Mutant, TheTableHoldsEveryMutantOnce) {
  std::set<Mutant> listed;
#define X(name)                            \
  EXPECT_EQ(name_of(Mutant::name), #name); \
  listed.insert(Mutant::name);
  PAIREDHEAD_MUTANT_LIST(X)
#undef X
  EXPECT_EQ(listed.size(), mutant_table().size());
  for (const MutantInfo& info : mutant_table()) {
    EXPECT_EQ(listed.erase(info.mutant), 1u) << name_of(info.mutant);
  }
  EXPECT_TRUE(listed.empty());
  EXPECT_EQ(name_of(Mutant::none), "none");
}

TEST(Mutant, EachSaysWhatItIs) {
  for (const MutantInfo& info : mutant_table()) {
    EXPECT_FALSE(info.what.empty()) << name_of(info.mutant);
    EXPECT_TRUE(info.trap == "own" || info.trap.starts_with("SPEC §11.")) << info.trap;
  }
}

// Every trap of SPEC §11 but 9, since the table of positions knows no documents.
TEST(Mutant, TheTrapsOfTheSpecificationArePlanted) {
  std::set<std::string> planted;
  for (const MutantInfo& info : mutant_table()) planted.emplace(info.trap);
  for (const int trap : {1,  2,  3,  4,  5,  6,  7,  8,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                         20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37,
                         38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55}) {
    EXPECT_TRUE(planted.contains("SPEC §11." + std::to_string(trap))) << trap;
  }
}

// What the production build promises: the branch is constant, so nothing of a mutant is left in it.
TEST(Mutant, NoneIsActiveInTheProductionBuild) {
  static_assert(!mutated(Mutant::rotary_sign));
  for (const MutantInfo& info : mutant_table()) EXPECT_FALSE(mutated(info.mutant));
}

}  // namespace
}  // namespace pairedhead
