#include "tools/eval/eval.h"

#include <gtest/gtest.h>

#include "tests/refusal.h"

namespace pairedhead::testing {
namespace {

const Component& attention() { return component_named("attention_paired"); }

const Parameters parameters =
    Parameters::parse("T=5 H=2 D=16 documents=5 window=3 softmax_scale=0.1 pairing=strided");

// As a program would give it: no fill, inputs in float32.
BatchCase given() {
  BatchCase batch{"one", "", parameters.text(), 0, {}};
  const auto filled = Parameters(parameters).set("fill", std::string("normal"));
  for (const auto& [name, array] : attention().inputs(filled, 8)) {
    const bool integer = array.dtype == DType::int32;
    batch.arrays.emplace("inputs/" + name,
                         integer ? array : to_array(to_tensor(array), DType::fp32));
  }
  return batch;
}

std::string complaint(const BatchCase& batch) {
  return pairedhead::refusal([&] { evaluate(attention(), batch, nullptr); });
}

TEST(Eval, ExactIsTheReferenceInDouble) {
  const BatchCase answer = evaluate(attention(), given(), nullptr);
  EXPECT_EQ(answer.name, "one");
  EXPECT_EQ(answer.component, "attention_paired");
  const auto filled = Parameters(parameters).set("fill", std::string("normal"));
  const Values exact =
      attention().reference(filled, attention().inputs(filled, 8), Rounding::exact());
  ASSERT_EQ(answer.arrays.size(), exact.size());
  for (const auto& [key, tensor] : exact) {
    const Array& array = answer.arrays.at(key);
    EXPECT_EQ(array.dtype, DType::fp64);
    for (Index i = 0; i < tensor.size(); ++i) ASSERT_EQ(array.at(i), tensor[i]) << key;
  }
}

TEST(Eval, ATargetAnswersInItsOwnTypes) {
  const auto target = make_target("emulated");
  const BatchCase answer = evaluate(attention(), given(), target.get());
  EXPECT_EQ(answer.arrays.at("outputs/y").dtype, DType::bf16);
  EXPECT_EQ(answer.arrays.at("outputs/logsumexp").dtype, DType::fp32);
}

TEST(Eval, WhatFollowsFromTheParametersMayBeLeftOut) {
  BatchCase batch = given();
  batch.arrays.erase("inputs/cu_seqlens");
  batch.arrays.erase("inputs/window");
  const BatchCase a = evaluate(attention(), given(), nullptr);
  const BatchCase b = evaluate(attention(), batch, nullptr);
  EXPECT_EQ(a.arrays.at("outputs/y").bytes, b.arrays.at("outputs/y").bytes);
}

TEST(Eval, BadInputsAreNamed) {
  BatchCase batch = given();
  batch.parameters = "";
  EXPECT_NE(complaint(batch).find("case one: expected an attribute parameters"), std::string::npos);

  batch = given();
  batch.component = "qk_norm";
  EXPECT_EQ(complaint(batch), "case one: expected component attention_paired, got qk_norm");

  batch = given();
  batch.arrays.erase("inputs/q");
  EXPECT_EQ(complaint(batch), "case one: expected inputs/q, got none");

  batch = given();
  batch.arrays.emplace("inputs/z", Array(DType::fp32, {1}));
  EXPECT_EQ(complaint(batch), "case one: inputs/z: attention_paired has no such input");

  batch = given();
  batch.arrays.at("inputs/k") = Array(DType::fp32, {5, 2, 8});
  EXPECT_EQ(complaint(batch), "case one: inputs/k: expected shape [5, 2, 16], got [5, 2, 8]");

  batch = given();
  batch.arrays.at("inputs/v").set(0, 1.001);
  EXPECT_NE(complaint(batch).find("inputs/v: expected values that bf16 holds exactly, got 1.001"),
            std::string::npos);

  batch = given();
  batch.arrays.at("inputs/cu_seqlens").set(1, 4);
  EXPECT_NE(complaint(batch).find("inputs/cu_seqlens: expected what the parameters"),
            std::string::npos);

  batch = given();
  batch.parameters = Parameters(parameters).set("H", 3).text();
  EXPECT_NE(complaint(batch), "accepted");
}

}  // namespace
}  // namespace pairedhead::testing
