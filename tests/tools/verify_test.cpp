#include "tools/verify/verify.h"

#include <gtest/gtest.h>

#include "tests/tools/fake_component.h"
#include "tests/tools/scratch_folder.h"

namespace pairedhead::testing {
namespace {

// Wrong from the fourth token of a document on, in the second head and channel 5.
FakeTarget wrong_beyond_three_tokens() {
  return cheating([](const Parameters& p, const Arrays&, Arrays& out) {
    const Index heads = p.integer("H"), width = p.integer("D");
    Index begin = 0;
    for (const Index length : p.integers("documents")) {
      if (length >= 4 && heads >= 2 && width >= 6) {
        const Index i = ((begin + 3) * heads + 1) * width + 5;
        out.at("outputs/y").set(i, out.at("outputs/y").at(i) + 1);
      }
      begin += length;
    }
  });
}

VerifyOptions options_with(std::uint64_t seed, Index cases, int threads = 0) {
  VerifyOptions options;
  options.seed = seed;
  options.cases = cases;
  options.threads = threads;
  options.target = "exec:./mine --fast";
  return options;
}

TEST(Verify, AnHonestTargetPasses) {
  FakeTarget target(honest_averaging);
  const auto result = run_component(averaging(), target, options_with(1, 60));
  EXPECT_EQ(result.status, Status::passed);
  EXPECT_EQ(result.cases, 62);
  EXPECT_EQ(result.failed, 0);
  EXPECT_EQ(result.unrepeatable, 0);
  EXPECT_FALSE(result.failure);
  EXPECT_TRUE(result.slack.empty()) << result.slack[0];
  EXPECT_GT(result.max.ratio, 0.5);
  EXPECT_EQ(result.max.limit, 8);
  EXPECT_GT(target.calls, 62);  // some twice
}

TEST(Verify, AFailureIsShrunkToTheSmallestThatFails) {
  FakeTarget target = wrong_beyond_three_tokens();
  const auto result = run_component(averaging(), target, options_with(1, 30));
  EXPECT_EQ(result.status, Status::failed);
  ASSERT_TRUE(result.failure);
  const CaseResult& smallest = result.failure->smallest;
  EXPECT_EQ(smallest.planned.parameters.text(), "D=6 H=2 T=4 documents=4");
  EXPECT_EQ(smallest.planned.seed, result.failure->found.planned.seed);
  EXPECT_GT(result.failure->tries, 3);
  const TensorVerdict* tensor = smallest.verdict.first_divergent();
  EXPECT_EQ(tensor->first->indices, (std::vector<Index>{3, 1, 5}));
  EXPECT_GT(result.failed, 5);
  EXPECT_LT(result.failed, result.cases);
}

TEST(Verify, TheReproLineRepeatsTheFailure) {
  FakeTarget target = wrong_beyond_three_tokens();
  const auto result = run_component(averaging(), target, options_with(1, 30));
  ASSERT_TRUE(result.failure);
  const std::string& line = result.failure->repro;
  EXPECT_EQ(line,
            "pairedhead verify --target 'exec:./mine --fast' --component averaging --case "
            "\"D=6 H=2 T=4 documents=4\" --seed " +
                std::to_string(result.failure->smallest.planned.seed));
  const auto quote = line.find('"');
  const auto text = line.substr(quote + 1, line.rfind('"') - quote - 1);
  const auto seed = std::stoull(line.substr(line.rfind(' ') + 1));
  const auto again =
      run_plan(averaging(), target, {{Parameters::parse(text), seed}}, options_with(0, 0));
  EXPECT_EQ(again.cases, 1);
  EXPECT_EQ(again.failed, 1);
  EXPECT_EQ(again.max.ratio, result.failure->smallest.verdict.worst.max);
}

TEST(Verify, ShrinkingEndsAfterTheTriesItIsGiven) {
  FakeTarget target = cheating(
      [](const Parameters&, const Arrays&, Arrays& out) { out.at("outputs/y").set(0, 100); });
  const Component component = averaging();
  CaseRunner runner(component, target);
  const auto failing = runner.run({averaging_case(), 1}, false);
  EXPECT_EQ(shrink_failure(runner, failing, 2).tries, 2);
  EXPECT_EQ(shrink_failure(runner, failing).smallest.planned.parameters.text(),
            "D=1 H=1 T=1 documents=1");
}

TEST(Verify, ShrinkingKeepsToTheSameKindOfFailure) {
  // One token: y is zero everywhere, which is UNTRUSTED and no smaller form of FAILED.
  Component component = averaging();
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t seed) {
    Arrays arrays = inputs(p, seed);
    if (p.integer("T") == 1) arrays.at("x") = Array(DType::bf16, arrays.at("x").shape);
    return arrays;
  };
  FakeTarget target = cheating([](const Parameters& p, const Arrays&, Arrays& out) {
    if (p.integer("T") > 1) out.at("outputs/y").set(0, 100);
  });
  CaseRunner runner(component, target);
  const auto shrunk = shrink_failure(runner, runner.run({averaging_case(), 1}, false));
  EXPECT_EQ(shrunk.smallest.planned.parameters.integer("T"), 2);
  EXPECT_EQ(shrunk.smallest.verdict.status, Status::failed);
}

TEST(Verify, ResultsDoNotDependOnTheThreads) {
  std::vector<ComponentResult> results;
  std::vector<std::vector<double>> seen(3);
  for (const int threads : {1, 2, 6}) {
    FakeTarget target = wrong_beyond_three_tokens();
    auto& ratios = seen[results.size()];
    results.push_back(run_component(averaging(), target, options_with(4, 25, threads),
                                    [&](const CaseResult& outcome) {
                                      ratios.push_back(outcome.verdict.worst.rms);
                                      return true;
                                    }));
  }
  for (const std::size_t other : {1u, 2u}) {
    EXPECT_EQ(seen[0], seen[other]);
    EXPECT_EQ(results[0].max.ratio, results[other].max.ratio);
    EXPECT_EQ(results[0].row.planned, results[other].row.planned);
    EXPECT_EQ(results[0].failure->repro, results[other].failure->repro);
    EXPECT_EQ(results[0].failure->tries, results[other].failure->tries);
  }
}

TEST(Verify, AComponentAloneRepeatsWhatItDidAmongAll) {
  FakeTarget target(honest_averaging);
  std::vector<PlannedCase> first, second;
  run_component(averaging(), target, options_with(9, 5), [&](const CaseResult& outcome) {
    first.push_back(outcome.planned);
    return true;
  });
  FakeTarget other(honest_doubling);
  run_component(doubling(), other, options_with(9, 5));
  run_component(averaging(), target, options_with(9, 5), [&](const CaseResult& outcome) {
    second.push_back(outcome.planned);
    return true;
  });
  EXPECT_EQ(first, second);
}

TEST(Verify, TheCallbackSeesOutputsAndMayStop) {
  FakeTarget target(honest_averaging);
  int seen = 0;
  const auto result =
      run_component(averaging(), target, options_with(1, 60), [&](const CaseResult& outcome) {
        EXPECT_EQ(outcome.outputs.size(), 2u);
        return ++seen < 7;
      });
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(result.cases, 7);
}

TEST(Verify, ASkippedComponentSaysWhy) {
  FakeTarget target(honest_averaging);
  target.skip_reason = "fused into something";
  const auto result = run_component(averaging(), target, options_with(1, 5));
  EXPECT_EQ(result.status, Status::skipped);
  EXPECT_EQ(result.skipped, "fused into something");
  EXPECT_EQ(result.cases, 0);
  EXPECT_EQ(target.calls, 0);
}

TEST(Verify, BitwiseRowsHaveNoRatios) {
  FakeTarget target(honest_doubling);
  const auto result = run_component(doubling(), target, options_with(1, 60));
  EXPECT_EQ(result.status, Status::passed);
  EXPECT_EQ(result.max.limit, 0);
  EXPECT_TRUE(result.slack.empty());
}

TEST(Verify, ATargetThatIsFarTooGoodShowsSlack) {
  Component component = averaging();
  // A scale a thousand times what the arithmetic needs.
  component.magnitude = [magnitude = component.magnitude](const Parameters& p, const Arrays& in) {
    Values values = magnitude(p, in);
    for (auto& [key, tensor] : values) {
      for (double& value : tensor.values()) value *= 1e8;
    }
    return values;
  };
  FakeTarget target(honest_averaging);
  const auto result = run_component(component, target, options_with(1, 60));
  EXPECT_EQ(result.status, Status::passed);
  EXPECT_EQ(result.slack.size(), 3u);
  EXPECT_TRUE(run_component(component, target, options_with(1, 3)).slack.empty());
}

TEST(Verify, FailuresAreKeptAndReplayedFirst) {
  const ScratchFolder folder;
  VerifyOptions options = options_with(1, 30);
  options.corpus = folder.path();
  FakeTarget wrong = wrong_beyond_three_tokens();
  EXPECT_FALSE(run_component(averaging(), wrong, options).failed == 0);
  EXPECT_EQ(folder.files(), 1u);

  FakeTarget honest(honest_averaging);
  std::vector<PlannedCase> seen;
  const auto result = run_component(averaging(), honest, options, [&](const CaseResult& outcome) {
    seen.push_back(outcome.planned);
    return true;
  });
  EXPECT_EQ(result.cases, 33);
  EXPECT_EQ(seen[0].parameters.text(), "D=6 H=2 T=4 documents=4");
  FakeTarget other(honest_doubling);
  EXPECT_EQ(run_component(doubling(), other, options).cases, 31);
}

TEST(Verify, RunsAddUp) {
  FakeTarget honest(honest_averaging);
  ComponentResult total = run_component(averaging(), honest, options_with(1, 10));
  const double before = total.max.ratio;
  FakeTarget wrong = wrong_beyond_three_tokens();
  const auto more = run_component(averaging(), wrong, options_with(2, 10));
  add_to(total, more);
  EXPECT_EQ(total.cases, 24);
  EXPECT_EQ(total.failed, more.failed);
  EXPECT_EQ(total.status, Status::failed);
  EXPECT_EQ(total.max.ratio, std::max(before, more.max.ratio));
  ASSERT_TRUE(total.failure);
  EXPECT_EQ(total.failure->repro, more.failure->repro);
}

}  // namespace
}  // namespace pairedhead::testing
