#include "tools/verdict/error_scale.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "tests/tools/fake_component.h"

namespace pairedhead::testing {
namespace {

// One output [2, 4] of the given dtype whose rounded draws are y* plus or minus `noise`, in turn.
Component two_rows(DType dtype, const std::vector<double>& exact, const std::vector<double>& noise,
                   const std::vector<double>& magnitude) {
  const auto tensor = [](const std::vector<double>& values) {
    Tensor<double> t({2, 4});
    for (Index i = 0; i < 8; ++i) t[i] = values[static_cast<std::size_t>(i)];
    return t;
  };
  Component component;
  component.name = "two_rows";
  component.outputs = {{"y", false, dtype}};
  component.reference = [=](const Parameters&, const Arrays&, Rounding rounding) {
    Tensor<double> y = tensor(exact);
    if (!rounding.is_exact()) {
      // 1 + 2^-9 lies half way between two bf16 numbers.
      const double sign = rounding.bf16(1 + 0x1p-8) > 1 ? 1 : -1;
      for (Index i = 0; i < 8; ++i) y[i] += sign * noise[static_cast<std::size_t>(i)];
    }
    return Values{{"outputs/y", y}};
  };
  component.magnitude = [=](const Parameters&, const Arrays&) {
    return Values{{"outputs/y", tensor(magnitude)}};
  };
  return component;
}

const std::vector<double> none(8, 0.0);

Tensor<double> scale_of(const Component& component) {
  return truth_of(component, {}, {}, 3).scale.at("outputs/y");
}

TEST(ErrorScale, NoiseIsTheMeanSquareOverDrawsOrAQuarterOfTheRows) {
  const auto sigma = scale_of(two_rows(DType::fp64, none, {4, 0, 0, 0, 1, 1, 1, 1}, none));
  EXPECT_DOUBLE_EQ(sigma[0], 4);
  EXPECT_DOUBLE_EQ(sigma[1], 1);  // sqrt(16 / 4 / 4)
  EXPECT_DOUBLE_EQ(sigma[4], 1);  // the other row does not know of the first
}

TEST(ErrorScale, StoringAddsHalfARoundoff) {
  const std::vector<double> exact = {1, -2, 0, 0, 0, 0, 0, 8};
  const auto bf16 = scale_of(two_rows(DType::bf16, exact, none, none));
  EXPECT_DOUBLE_EQ(bf16[0], 0x1p-9);
  EXPECT_DOUBLE_EQ(bf16[1], 0x1p-8);
  EXPECT_DOUBLE_EQ(bf16[7], 0x1p-6);
  const auto fp32 = scale_of(two_rows(DType::fp32, exact, none, none));
  EXPECT_DOUBLE_EQ(fp32[1], 0x1p-24);
}

TEST(ErrorScale, AddingAddsFourAccumulatorRoundoffs) {
  const auto sigma = scale_of(two_rows(DType::bf16, none, none, {0, 16, 0, 0, 0, 0, 0, 1}));
  EXPECT_DOUBLE_EQ(sigma[1], 0x1p-18);
  EXPECT_DOUBLE_EQ(sigma[7], 0x1p-22);
}

TEST(ErrorScale, NothingIsPermittedWhereNothingCanBeWrong) {
  const auto sigma = scale_of(two_rows(DType::bf16, none, none, none));
  for (const double value : sigma.values()) EXPECT_EQ(value, 0);
}

TEST(ErrorScale, WhatUnderflowsMayBeStoredAsZero) {
  const auto sigma = scale_of(two_rows(DType::bf16, {1e-300, 0, 0, 0, 0, 0, 0, 1e-42}, none, none));
  EXPECT_DOUBLE_EQ(sigma[0], 0x1p-126);
  EXPECT_EQ(sigma[1], 0);
  EXPECT_GE(8 * sigma[7], 1e-42);
}

TEST(ErrorScale, PartsAddInSquares) {
  const auto sigma = scale_of(
      two_rows(DType::bf16, {1, 0, 0, 0, 0, 0, 0, 0}, {0x1p-9, 0, 0, 0, 0, 0, 0, 0}, none));
  EXPECT_DOUBLE_EQ(sigma[0], 0x1p-9 * std::sqrt(2.0));
}

TEST(ErrorScale, IsTheSameForEveryNumberOfThreads) {
  const Component component = averaging();
  const Arrays inputs = component.inputs(averaging_case(), 4);
  const int threads = omp_get_max_threads();
  std::vector<Tensor<double>> scales;
  for (const int n : {1, 2, 5}) {
    omp_set_num_threads(n);
    scales.push_back(truth_of(component, averaging_case(), inputs, 4).scale.at("grads/x"));
  }
  omp_set_num_threads(threads);
  for (Index i = 0; i < scales[0].size(); ++i) {
    ASSERT_EQ(scales[0][i], scales[1][i]);
    ASSERT_EQ(scales[0][i], scales[2][i]);
  }
}

// What a target gives decides the scale of a later stage, so there is none before it has run.
TEST(ErrorScale, WaitsForTheTargetWhereARowIsJudgedByStages) {
  Component component = averaging();
  const Arrays inputs = component.inputs(averaging_case(), 4);
  EXPECT_FALSE(truth_before_stages(component, averaging_case(), inputs, 4).scale.empty());
  component.stages = {"outputs/y"};
  const Truth before = truth_before_stages(component, averaging_case(), inputs, 4);
  EXPECT_TRUE(before.scale.empty());
  Arrays outputs;
  outputs["outputs/y"] = to_array(before.exact.at("outputs/y"), DType::bf16);
  const Truth after = truth_of_stages(component, averaging_case(), inputs, 4, before, outputs);
  EXPECT_FALSE(after.scale.empty());
}

TEST(ErrorScale, DependsOnTheSeed) {
  const Component component = averaging();
  const Arrays inputs = component.inputs(averaging_case(), 4);
  const auto a = truth_of(component, averaging_case(), inputs, 4);
  const auto b = truth_of(component, averaging_case(), inputs, 5);
  EXPECT_EQ(a.exact.at("outputs/y")[100], b.exact.at("outputs/y")[100]);
  EXPECT_NE(a.scale.at("outputs/y")[100], b.scale.at("outputs/y")[100]);
}

TEST(ErrorScale, BitwiseRowsHaveNone) {
  const Component component = doubling();
  const auto parameters = Parameters::parse("T=2 D=3");
  EXPECT_TRUE(truth_of(component, parameters, component.inputs(parameters, 1), 1).scale.empty());
}

TEST(ErrorScale, ADrawThatThrowsIsNotLost) {
  Component component = averaging();
  component.reference = [reference = component.reference](const Parameters& p, const Arrays& in,
                                                          Rounding rounding) {
    if (!rounding.is_exact()) throw InputError("no rounding here");
    return reference(p, in, rounding);
  };
  EXPECT_THROW(truth_of(component, averaging_case(), component.inputs(averaging_case(), 1), 1),
               InputError);
}

TEST(ErrorScale, AReferenceThatForgetsAnOutputIsNamed) {
  Component component = averaging();
  component.outputs.push_back({"z", false, DType::bf16});
  try {
    truth_of(component, averaging_case(), component.inputs(averaging_case(), 1), 1);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "component averaging: its reference does not give outputs/z");
  }
}

}  // namespace
}  // namespace pairedhead::testing
