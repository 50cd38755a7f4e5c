#include <gtest/gtest.h>

#include "tools/components/component.h"
#include "tools/components/fill.h"
#include "tools/targets/emulated_target.h"
#include "tools/verdict/poison.h"
#include "tools/verdict/verdict.h"

// Where every intermediate value is a short binary fraction, fp32 in any order and double agree bit
// for bit, and no scale of errors is asked.

namespace pairedhead {
namespace {

// Small integers for tensors, one half for lambdas, zeros for what would reach a sigmoid.
Arrays exact_inputs(const Component& component, const Parameters& parameters, bool gated) {
  Arrays inputs = component.inputs(parameters, 3);
  std::uint64_t stream = 0;
  for (auto& [name, array] : inputs) {
    const bool in_sigmoid = name == "theta" || (gated && name == "w");
    if (in_sigmoid) {
      array = Array(array.dtype, array.shape);
    } else if (array.dtype == DType::fp32) {
      array.set(0, 0.5);
    } else if (array.dtype == DType::bf16) {
      array = filled("integers", DType::bf16, array.shape, Random(++stream));
    }
  }
  return inputs;
}

void expect_equal_bits(const std::string& name, const std::string& setting, bool gated) {
  SCOPED_TRACE(name + ": " + setting);
  const Component& component = component_named(name);
  const Parameters parameters = Parameters::parse(setting);
  component.check(parameters);
  const Arrays inputs = exact_inputs(component, parameters, gated);
  const Values expected = component.reference(parameters, inputs, Rounding::nearest());
  Arrays outputs = poisoned_outputs(component, expected, 4);
  EmulatedTarget().run(component, parameters, inputs, outputs);
  for (const OutputRow& row : component.outputs) {
    const auto verdict = judge_bitwise(row, outputs.at(row.key()), expected.at(row.key()));
    EXPECT_EQ(verdict.status, Status::passed) << row.key() << ": " << verdict.reason;
  }
}

TEST(EmulatedTrunk, EqualsTheReferenceBitForBitOnSmallIntegers) {
  for (const char* setting : {"T=1 C=12 fill=normal", "T=37 C=40 fill=normal"}) {
    for (const char* name : {"relu_squared", "residual_mix", "backout"}) {
      expect_equal_bits(name, setting, false);
    }
    for (const char* name : {"skip", "smear"}) expect_equal_bits(name, setting, true);
  }
  for (const char* name : {"output_gate", "value_mix"}) {
    expect_equal_bits(name, "T=19 H=6 D=24 fill=normal", true);
  }
  for (const char* name : {"embedding", "value_embedding"}) {
    expect_equal_bits(name, "T=70 C=12 V=9 fill=normal", false);
  }
  for (const char* name : {"linear", "lambda_linear"}) {
    expect_equal_bits(name, "T=35 K=40 N=24 fill=normal", false);
  }
  expect_equal_bits("mlp", "T=35 C=16 F=40 fill=normal weights=normal", false);
}

}  // namespace
}  // namespace pairedhead
