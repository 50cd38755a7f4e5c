#include "tools/verify/case_plan.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/tools/fake_component.h"

namespace pairedhead::testing {
namespace {

TEST(CasePlan, EdgesComeFirstThenCasesThatGrow) {
  const Component component = averaging();
  const auto plan = plan_cases(component, 1, 20);
  ASSERT_EQ(plan.size(), 22u);
  EXPECT_EQ(plan[0].parameters, component.edges[0]);
  EXPECT_EQ(plan[1].parameters, component.edges[1]);
  EXPECT_EQ(plan[2].parameters.integer("T"), 1);
  EXPECT_EQ(plan[21].parameters.integer("T"), 32);
  for (std::size_t n = 3; n < plan.size(); ++n) {
    EXPECT_LE(plan[n - 1].parameters.integer("T"), plan[n].parameters.integer("T"));
  }
}

TEST(CasePlan, OfADearRowFewerAreDrawn) {
  Component component = averaging();
  component.one_in = 10;
  EXPECT_EQ(plan_cases(component, 1, 20).size(), 2u + 2);
  EXPECT_EQ(plan_cases(component, 1, 21).size(), 2u + 3);
  EXPECT_EQ(plan_cases(component, 1, 0).size(), 2u);
}

TEST(CasePlan, TheSameSeedGivesTheSameCases) {
  EXPECT_EQ(plan_cases(averaging(), 5, 10), plan_cases(averaging(), 5, 10));
  EXPECT_NE(plan_cases(averaging(), 5, 10), plan_cases(averaging(), 6, 10));
}

TEST(CasePlan, SeedsDifferByComponentCaseAndRun) {
  std::set<std::uint64_t> seeds;
  for (const char* name : {"attention_plain", "attention_paired", "qk_norm", "norm_qk"}) {
    for (std::uint64_t run = 0; run < 5; ++run) {
      for (std::uint64_t n = 0; n < 50; ++n) seeds.insert(case_seed(run, name, n));
    }
  }
  EXPECT_EQ(seeds.size(), 1000u);
  EXPECT_LT(*seeds.rbegin(), std::uint64_t{1} << 32);
}

TEST(CasePlan, ShardsTogetherAreThePlan) {
  const auto whole = plan_cases(averaging(), 3, 11);
  std::size_t total = 0;
  for (int part = 1; part <= 3; ++part) {
    const auto shard = plan_cases(averaging(), 3, 11, {part, 3});
    total += shard.size();
    for (const PlannedCase& planned : shard) {
      EXPECT_EQ(std::count(whole.begin(), whole.end(), planned), 1);
    }
  }
  EXPECT_EQ(total, whole.size());
}

TEST(CasePlan, OneFuzzedCaseIsALargeOne) {
  EXPECT_EQ(plan_cases(averaging(), 3, 1).back().parameters.integer("T"), 32);
}

TEST(CasePlan, ADrawThatIsNotTheComponentsIsBadInput) {
  Component component = averaging();
  component.draw = [](Random&, double) { return Parameters::parse("T=0 H=1 D=1 documents=0"); };
  EXPECT_THROW(plan_cases(component, 1, 1), InputError);
}

TEST(CasePlan, ShardTextIsChecked) {
  EXPECT_EQ(parse_shard("2/4").part, 2);
  EXPECT_EQ(parse_shard("2/4").parts, 4);
  for (const char* text : {"", "1", "0/4", "5/4", "1/0", "a/2", "1/2x", "-1/2", "1/", "/2"}) {
    EXPECT_THROW(parse_shard(text), InputError) << text;
  }
}

}  // namespace
}  // namespace pairedhead::testing
