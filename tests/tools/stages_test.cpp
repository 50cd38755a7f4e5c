#include <gtest/gtest.h>

#include <cmath>

#include "tests/tools/fake_component.h"
#include "tools/verify/run_case.h"

namespace pairedhead::testing {
namespace {

// a = 2.1 x in bf16, then b = 3 a bit by bit: a row of two stages.
Component chain() {
  Component component = doubling();
  component.name = "chain";
  component.judgement = Judgement::ratio;
  component.outputs = {{.name = "a", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "b", .is_gradient = false, .dtype = DType::fp32, .bitwise = true}};
  component.stages = {"outputs/a"};
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    Tensor<double> a = to_tensor(arrays.at("x"));
    for (double& value : a.values()) value *= 2.1;
    const auto given = arrays.find("outputs/a");
    Tensor<double> b = to_tensor(given == arrays.end() ? to_array(a, DType::bf16) : given->second);
    for (double& value : b.values()) value *= 3;
    return Values{{"outputs/a", a}, {"outputs/b", b}};
  };
  component.magnitude = [](const Parameters&, const Arrays& arrays) {
    Tensor<double> a = to_tensor(arrays.at("x"));
    for (double& value : a.values()) value = 2.1 * std::abs(value);
    return Values{{"outputs/a", a}};
  };
  return component;
}

// Every a one unit in the last place off, which is within the limits; b from that a where
// `follows`, from the right one where not.
FakeTarget off_by_one(bool follows) {
  return FakeTarget([follows](const Parameters&, const Arrays& inputs, Arrays& outputs) {
    Array& a = outputs.at("outputs/a");
    for (Index i = 0; i < a.size(); ++i) {
      a.set(i, 2.1 * inputs.at("x").at(i));
      const double right = a.at(i);
      ++a.as<std::uint16_t>()[i];
      outputs.at("outputs/b").set(i, 3 * (follows ? a.at(i) : right));
    }
  });
}

CaseResult run(FakeTarget target) {
  const Component component = chain();
  return CaseRunner(component, target).run({Parameters::parse("T=1 D=4"), 3}, true);
}

TEST(Stages, EachIsJudgedOnTheTargetsOwnPreviousOne) {
  const CaseResult result = run(off_by_one(true));
  EXPECT_EQ(result.verdict.status, Status::passed) << result.verdict.reason;
  EXPECT_GT(result.verdict.worst.max, 1);
}

TEST(Stages, OneThatDoesNotFollowFromThePreviousFails) {
  const CaseResult result = run(off_by_one(false));
  ASSERT_EQ(result.verdict.status, Status::failed);
  EXPECT_EQ(result.verdict.first_divergent()->key, "outputs/b");
}

}  // namespace
}  // namespace pairedhead::testing
