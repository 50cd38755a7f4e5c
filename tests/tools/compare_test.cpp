#include "tools/compare/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/refusal.h"
#include "tests/tools/run_program.h"
#include "tests/tools/scratch_folder.h"
#include "tools/targets/target.h"
#include "tools/verify/run_case.h"

namespace pairedhead::testing {
namespace {

const Component& attention() { return component_named("attention_paired"); }

const PlannedCase planned{
    Parameters::parse("T=9 H=4 D=16 documents=4,5 window=5 softmax_scale=0.1 fill=normal "
                      "pairing=strided"),
    12};

GoldenCase golden_case(const Component& component, const PlannedCase& one) {
  GoldenCase golden;
  golden.name = "one";
  golden.component = component.name;
  golden.origin = "reference";
  golden.parameters = one.parameters.text();
  golden.seed = one.seed;
  golden.inputs = component.inputs(one.parameters, one.seed);
  const Truth truth = truth_of(component, one.parameters, golden.inputs, one.seed);
  golden.values = truth.exact;
  golden.scale = truth.scale;
  for (const OutputRow& row : component.outputs) golden.dtypes[row.key()] = row.dtype;
  return golden;
}

CaseResult emulated(const Component& component, const PlannedCase& one) {
  const auto target = make_target("emulated");
  CaseRunner runner(component, *target);
  return runner.run(one, false);
}

BatchCase batch_of(const Arrays& outputs) { return {"one", "", "", 0, outputs}; }

std::string complaint(const std::vector<GoldenCase>& golden, const std::vector<BatchCase>& yours) {
  return pairedhead::refusal([&] { compare(golden, yours); });
}

TEST(Compare, GivesTheRatiosOfVerify) {
  const CaseResult result = emulated(attention(), planned);
  const auto compared = compare({golden_case(attention(), planned)}, {batch_of(result.outputs)});
  ASSERT_EQ(compared.size(), 1u);
  EXPECT_TRUE(compared[0].verdict.holds()) << compared[0].verdict.reason;
  ASSERT_EQ(compared[0].verdict.tensors.size(), attention().outputs.size());
  for (std::size_t n = 0; n < attention().outputs.size(); ++n) {
    EXPECT_EQ(compared[0].verdict.tensors[n].ratios.max, result.verdict.tensors[n].ratios.max);
    EXPECT_EQ(compared[0].verdict.tensors[n].ratios.rms, result.verdict.tensors[n].ratios.rms);
  }
}

TEST(Compare, AGoldenWithoutScaleGivesTheSame) {
  GoldenCase golden = golden_case(attention(), planned);
  const CaseResult result = emulated(attention(), planned);
  const auto with = compare({golden}, {batch_of(result.outputs)});
  golden.scale.clear();
  const auto without = compare({golden}, {batch_of(result.outputs)});
  EXPECT_EQ(with[0].verdict.worst.max, without[0].verdict.worst.max);
}

TEST(Compare, OutputsInFloat32AreStoredAsTheComponentDoes) {
  const CaseResult result = emulated(attention(), planned);
  Arrays wide;
  for (const auto& [key, array] : result.outputs) {
    wide.emplace(key, to_array(to_tensor(array), DType::fp32));
  }
  const GoldenCase golden = golden_case(attention(), planned);
  EXPECT_EQ(compare({golden}, {batch_of(wide)})[0].verdict.worst.max,
            compare({golden}, {batch_of(result.outputs)})[0].verdict.worst.max);
}

TEST(Compare, AWrongElementFails) {
  Arrays outputs = emulated(attention(), planned).outputs;
  outputs.at("grads/k").set(70, outputs.at("grads/k").at(70) + 1);
  const auto compared = compare({golden_case(attention(), planned)}, {batch_of(outputs)});
  EXPECT_EQ(compared[0].verdict.status, Status::failed);
  EXPECT_EQ(compared[0].verdict.first_divergent()->key, "grads/k");
  EXPECT_EQ(compared[0].verdict.first_divergent()->first->indices, (std::vector<Index>{1, 0, 6}));
  // One element may be a rare rounding: it was judged again as verify does.
  EXPECT_EQ(compared[0].verdict.first_divergent()->draws, most_noise_draws);
}

// Where the golden's scale is too narrow for one honest element, as that of few draws may be.
TEST(Compare, AnIsolatedFailureMayBeAcquitted) {
  GoldenCase golden = golden_case(attention(), planned);
  const Arrays outputs = emulated(attention(), planned).outputs;
  const Tensor<double> given = to_tensor(outputs.at("outputs/y"));
  const Tensor<double>& exact = golden.values.at("outputs/y");
  Tensor<double>& scale = golden.scale.at("outputs/y");
  Index farthest = 0;
  const auto ratio = [&](Index i) { return std::abs(given[i] - exact[i]) / scale[i]; };
  for (Index i = 1; i < scale.size(); ++i) farthest = ratio(i) > ratio(farthest) ? i : farthest;
  ASSERT_GT(ratio(farthest), 1);
  scale[farthest] /= 100;
  const Verdict verdict = compare({golden}, {batch_of(outputs)})[0].verdict;
  EXPECT_TRUE(verdict.holds()) << verdict.reason;
  for (const TensorVerdict& tensor : verdict.tensors) {
    if (tensor.key != "outputs/y") continue;
    EXPECT_EQ(tensor.draws, most_noise_draws);
  }
}

TEST(Compare, WhatHoldsIsNotJudgedAgain) {
  const CaseResult result = emulated(attention(), planned);
  const auto compared = compare({golden_case(attention(), planned)}, {batch_of(result.outputs)});
  for (const TensorVerdict& tensor : compared[0].verdict.tensors) {
    EXPECT_EQ(tensor.draws, noise_draws) << tensor.key;
  }
}

TEST(Compare, NanFails) {
  Arrays outputs = emulated(attention(), planned).outputs;
  outputs.at("outputs/y").set(0, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(compare({golden_case(attention(), planned)}, {batch_of(outputs)})[0].verdict.status,
            Status::failed);
}

TEST(Compare, OutputsThatAreNotGivenAreNamed) {
  Arrays outputs = emulated(attention(), planned).outputs;
  outputs.erase("grads/q");
  const auto compared = compare({golden_case(attention(), planned)}, {batch_of(outputs)});
  EXPECT_TRUE(compared[0].verdict.holds());
  EXPECT_EQ(compared[0].absent, std::vector<std::string>{"grads/q"});
}

TEST(Compare, BitwiseRowsNeedTheValuesThemselves) {
  const Component& interleave = component_named("interleave");
  const PlannedCase one{interleave.edges.front(), 3};
  const GoldenCase golden = golden_case(interleave, one);
  Arrays outputs;
  for (const auto& [key, value] : golden.values) outputs.emplace(key, to_array(value, DType::fp32));
  EXPECT_TRUE(compare({golden}, {batch_of(outputs)})[0].verdict.holds());
  Array& first = outputs.begin()->second;
  first.as<float>()[0] = std::nextafter(first.as<float>()[0], 100.0f);
  EXPECT_EQ(compare({golden}, {batch_of(outputs)})[0].verdict.status, Status::failed);
}

TEST(Compare, WhatTheGoldenDoesNotKnowIsBadInput) {
  const GoldenCase golden = golden_case(attention(), planned);
  const Arrays outputs = emulated(attention(), planned).outputs;
  BatchCase other = batch_of(outputs);
  other.name = "two";
  EXPECT_EQ(complaint({golden}, {other}),
            "case two: the golden file has none of that name, only one");
  BatchCase extra = batch_of(outputs);
  extra.arrays.emplace("outputs/z", Array(DType::bf16, {1}));
  EXPECT_EQ(complaint({golden}, {extra}), "case one: the golden file has no outputs/z");
  BatchCase shape = batch_of(outputs);
  shape.arrays.at("outputs/y") = Array(DType::bf16, {9, 64});
  EXPECT_EQ(complaint({golden}, {shape}),
            "case one: outputs/y: expected shape [9, 4, 16], got [9, 64]");
  EXPECT_NE(complaint({golden}, {batch_of({})}), "accepted");
  EXPECT_NE(complaint({golden}, {}), "accepted");
}

TEST(CompareCommand, ExportEvalCompareIsARoundTrip) {
  const ScratchFolder folder;
  const std::string golden = std::string(PAIREDHEAD_SOURCE_DIR) + "/golden/rotary_paired.h5";
  const std::string in = (folder / "in.h5").string(), out = (folder / "out.h5").string();
  const auto inputs = read_golden(golden);
  std::vector<BatchCase> exported;
  for (const GoldenCase& one : inputs) {
    BatchCase batch{one.name, one.component, one.parameters, one.seed, {}};
    for (const auto& [name, array] : one.inputs) batch.arrays.emplace("inputs/" + name, array);
    exported.push_back(batch);
  }
  write_batch(in, exported);
  for (const char* target : {"exact", "emulated"}) {
    const Ran eval =
        run_program("eval " + in + " " + out + " --component rotary_paired --target " + target);
    EXPECT_EQ(eval.exit_code, 0) << eval.output;
    const Ran ran = run_program("compare " + golden + " " + out);
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    EXPECT_NE(ran.output.find("all hold"), std::string::npos) << ran.output;
  }
  auto wrong = read_batch(out);
  wrong[0].arrays.at("outputs/y").set(0, 1000);
  write_batch(out, wrong);
  const Ran ran = run_program("compare " + golden + " " + out);
  EXPECT_EQ(ran.exit_code, 1) << ran.output;
  EXPECT_NE(ran.output.find("got 1000"), std::string::npos) << ran.output;
}

TEST(CompareCommand, FilesThatAreNoneAreBadInput) {
  EXPECT_EQ(run_program("compare /nonexistent.h5 /nonexistent.h5").exit_code, 2);
  EXPECT_EQ(run_program("eval /nonexistent.h5 /tmp/x.h5 --component qk_norm").exit_code, 2);
  EXPECT_EQ(run_program("compare").exit_code, 2);
}

}  // namespace
}  // namespace pairedhead::testing
