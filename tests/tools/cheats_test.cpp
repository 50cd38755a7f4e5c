#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/tools/fake_component.h"
#include "tools/verify/run_case.h"

// Every way known to us in which a wrong kernel has looked right to some test.

namespace pairedhead::testing {
namespace {

constexpr std::uint64_t seed = 5;

CaseResult outcome_of(FakeTarget target, const Component& component = averaging(),
                      const Parameters& parameters = averaging_case()) {
  CaseRunner runner(component, target);
  return runner.run({parameters, seed}, true);
}

void fill(Array& array, double value) {
  for (Index i = 0; i < array.size(); ++i) array.set(i, value);
}

TEST(Cheats, HonestTargetPassesWithRatiosOfOrderOne) {
  const CaseResult result = outcome_of(FakeTarget(honest_averaging));
  EXPECT_EQ(result.verdict.status, Status::passed) << result.verdict.reason;
  EXPECT_TRUE(result.repeatable);
  EXPECT_GT(result.verdict.worst.rms, 0.1);
  EXPECT_LE(result.verdict.worst.rms, 1.5);
  EXPECT_LE(result.verdict.worst.max, 8);
}

TEST(Cheats, HonestTargetPassesAtEverySeed) {
  FakeTarget target(honest_averaging);
  const Component component = averaging();
  CaseRunner runner(component, target);
  for (const PlannedCase& planned : plan_cases(component, 7, 100)) {
    const CaseResult result = runner.run(planned, false);
    EXPECT_EQ(result.verdict.status, Status::passed)
        << planned.parameters.text() << ": " << result.verdict.reason;
  }
}

TEST(Cheats, AllZerosFail) {
  const auto result = outcome_of(cheating(
      [](const Parameters&, const Arrays&, Arrays& out) { fill(out.at("outputs/y"), 0); }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_EQ(result.verdict.first_divergent()->key, "outputs/y");
}

TEST(Cheats, AConstantFails) {
  const auto result = outcome_of(cheating(
      [](const Parameters&, const Arrays&, Arrays& out) { fill(out.at("grads/x"), 0.25); }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_EQ(result.verdict.first_divergent()->key, "grads/x");
}

TEST(Cheats, OneNanFails) {
  const auto result = outcome_of(cheating([](const Parameters&, const Arrays&, Arrays& out) {
    out.at("outputs/y").set(700, std::numeric_limits<double>::quiet_NaN());
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_TRUE(std::isinf(result.verdict.worst.max));
  const TensorVerdict* tensor = result.verdict.first_divergent();
  EXPECT_EQ(tensor->wrong_elements, 1);
  EXPECT_EQ(tensor->first->indices, (std::vector<Index>{10, 3, 12}));
}

TEST(Cheats, OneInfinityFails) {
  const auto result = outcome_of(cheating([](const Parameters&, const Arrays&, Arrays& out) {
    out.at("outputs/y").set(0, std::numeric_limits<double>::infinity());
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
}

TEST(Cheats, ABufferNeverWrittenFails) {
  const auto result = outcome_of(FakeTarget([](const Parameters&, const Arrays&, Arrays&) {}));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("1536 of 1536 elements were never written"),
            std::string::npos)
      << result.verdict.reason;
}

TEST(Cheats, OneElementNeverWrittenIsNamed) {
  const auto result = outcome_of(FakeTarget([](const Parameters& p, const Arrays& in, Arrays& out) {
    const Array before = out.at("outputs/y");
    honest_averaging(p, in, out);
    out.at("outputs/y").as<std::uint16_t>()[100] = before.as<std::uint16_t>()[100];
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_EQ(result.verdict.reason, "outputs/y: 1 of 1536 elements were never written");
}

TEST(Cheats, IntegerBufferNeverWrittenFails) {
  Component component = doubling();
  component.outputs[0].dtype = DType::int32;
  const auto result = outcome_of(FakeTarget([](const Parameters&, const Arrays&, Arrays&) {}),
                                 component, Parameters::parse("T=4 D=9"));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("never written"), std::string::npos);
}

TEST(Cheats, AStaleBufferOfAnotherCaseFails) {
  Arrays stale;
  FakeTarget target([&stale](const Parameters& p, const Arrays& in, Arrays& out) {
    if (stale.empty()) honest_averaging(p, in, stale = out);
    out = stale;
  });
  const Component component = averaging();
  CaseRunner runner(component, target);
  EXPECT_TRUE(runner.run({averaging_case(), 1}, false).verdict.holds());
  const auto result = runner.run({averaging_case(), 2}, false);
  EXPECT_EQ(result.verdict.status, Status::failed);
}

TEST(Cheats, AddingToWhatTheBufferHeldFails) {
  const auto result = outcome_of(FakeTarget([](const Parameters& p, const Arrays& in, Arrays& out) {
    Arrays right = out;
    honest_averaging(p, in, right);
    Array& y = out.at("outputs/y");
    for (Index i = 0; i < y.size(); ++i) y.set(i, y.at(i) + right.at("outputs/y").at(i));
    out.at("grads/x") = right.at("grads/x");
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
}

TEST(Cheats, RightOnTheFirstCallOnlyFails) {
  int calls = 0;
  const auto result =
      outcome_of(FakeTarget([&calls](const Parameters& p, const Arrays& in, Arrays& out) {
        honest_averaging(p, in, out);
        if (++calls == 2) out.at("outputs/y").set(3, 100);
      }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_FALSE(result.repeatable);
  EXPECT_NE(result.verdict.reason.find("second call"), std::string::npos);
}

TEST(Cheats, OtherBitsInASecondCallAreNoted) {
  int calls = 0;
  const auto result =
      outcome_of(FakeTarget([&calls](const Parameters& p, const Arrays& in, Arrays& out) {
        honest_averaging(p, in, out);
        if (++calls == 2) out.at("outputs/y").as<std::uint16_t>()[3] ^= 1;
      }));
  EXPECT_EQ(result.verdict.status, Status::passed) << result.verdict.reason;
  EXPECT_FALSE(result.repeatable);
}

TEST(Cheats, ACopiedInputFailsByName) {
  const auto result = outcome_of(cheating(
      [](const Parameters&, const Arrays& in, Arrays& out) { out.at("outputs/y") = in.at("x"); }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("repeats the input x"), std::string::npos);
}

// The limits alone would let it pass: the truth is the input but for less than a roundoff or two.
TEST(Cheats, ACopiedInputWithinTheLimitsIsUntrusted) {
  Component component = doubling();
  component.judgement = Judgement::ratio;
  component.reference = [](const Parameters&, const Arrays& inputs, Rounding) {
    Tensor<double> y = to_tensor(inputs.at("x"));
    for (double& value : y.values()) value *= 1 + 0x1p-8;
    return Values{{"outputs/y", std::move(y)}};
  };
  component.magnitude = [](const Parameters&, const Arrays& inputs) {
    Tensor<double> y = to_tensor(inputs.at("x"));
    for (double& value : y.values()) value = std::abs(value);
    return Values{{"outputs/y", std::move(y)}};
  };
  const auto copy = [](const Parameters&, const Arrays& in, Arrays& out) {
    out.at("outputs/y") = in.at("x");
  };
  const auto parameters = Parameters::parse("T=4 D=9");
  const auto result = outcome_of(FakeTarget(copy), component, parameters);
  EXPECT_EQ(result.verdict.status, Status::untrusted) << result.verdict.reason;
  component.trivial = [](const Parameters&, const OutputRow&) { return true; };
  EXPECT_EQ(outcome_of(FakeTarget(copy), component, parameters).verdict.status, Status::passed);
}

TEST(Cheats, OnlyTheFirstDocumentRightFails) {
  const auto result = outcome_of(cheating([](const Parameters& p, const Arrays&, Arrays& out) {
    Array& y = out.at("outputs/y");
    const Index begin = p.integers("documents")[0] * p.integer("H") * p.integer("D");
    for (Index i = begin; i < y.size(); ++i) y.set(i, y.at(i - begin));
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_GE(result.verdict.first_divergent()->first->indices[0], 10);
}

TEST(Cheats, OnlyTheFirstHeadRightFails) {
  const auto result = outcome_of(cheating([](const Parameters& p, const Arrays&, Arrays& out) {
    Array& y = out.at("outputs/y");
    const Index width = p.integer("D"), heads = p.integer("H");
    for (Index i = 0; i < y.size(); ++i) {
      y.set(i, y.at(i / (heads * width) * heads * width + i % width));
    }
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_GE(result.verdict.first_divergent()->first->indices[1], 1);
}

TEST(Cheats, NoiseTenTimesTooLargeFails) {
  const Component component = averaging();
  const auto result = outcome_of(cheating([&](const Parameters& p, const Arrays& in, Arrays& out) {
    const Truth truth = truth_of(component, p, in, seed);
    const auto& sigma = truth.scale.at("outputs/y");
    const auto& exact = truth.exact.at("outputs/y");
    Random random(3);
    for (Index i = 0; i < exact.size(); ++i) {
      out.at("outputs/y").set(i, exact[i] + 10 * sigma[i] * random.normal());
    }
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
}

// Each element is well inside rho_max, and so is each row: only the tensor's norm tells.
TEST(Cheats, NoiseTwiceTooLargeFailsByItsNorm) {
  const Component component = averaging();
  const auto result = outcome_of(cheating([&](const Parameters& p, const Arrays& in, Arrays& out) {
    const Truth truth = truth_of(component, p, in, seed);
    const auto& sigma = truth.scale.at("outputs/y");
    const auto& exact = truth.exact.at("outputs/y");
    for (Index i = 0; i < exact.size(); ++i) {
      out.at("outputs/y").set(i, exact[i] + (i % 2 ? 1.6 : -1.6) * sigma[i]);
    }
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("rho_rms"), std::string::npos) << result.verdict.reason;
}

// One row of a large tensor moves no norm, and six sigma no maximum.
TEST(Cheats, OneRowSixSigmaOffFailsByItsRow) {
  const Component component = averaging();
  const auto result = outcome_of(cheating([&](const Parameters& p, const Arrays& in, Arrays& out) {
    const Truth truth = truth_of(component, p, in, seed);
    for (Index i = 160; i < 176; ++i) {
      out.at("outputs/y")
          .set(i, truth.exact.at("outputs/y")[i] + 6 * truth.scale.at("outputs/y")[i]);
    }
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("rho_row"), std::string::npos) << result.verdict.reason;
  EXPECT_EQ(result.verdict.first_divergent()->first->indices[0], 2);
}

TEST(Cheats, OneWrongElementInABigTensorIsLocated) {
  const Component component = averaging();
  const auto parameters = Parameters::parse("T=80 H=4 D=64 documents=80");
  const auto result = outcome_of(cheating([&](const Parameters& p, const Arrays& in, Arrays& out) {
                                   const Truth truth = truth_of(component, p, in, seed);
                                   out.at("outputs/y")
                                       .set(15707, truth.exact.at("outputs/y")[15707] +
                                                       30 * truth.scale.at("outputs/y")[15707]);
                                 }),
                                 component, parameters);
  EXPECT_EQ(result.verdict.status, Status::failed);
  const TensorVerdict* tensor = result.verdict.first_divergent();
  EXPECT_EQ(tensor->wrong_elements, 1);
  EXPECT_EQ(tensor->first->indices, (std::vector<Index>{61, 1, 27}));
  EXPECT_EQ(tensor->worst->indices, tensor->first->indices);
  EXPECT_LE(tensor->ratios.rms, tensor->limits.rms);
}

TEST(Cheats, TheRightValuesOfAnotherCaseFail) {
  const Component component = averaging();
  const auto result = outcome_of(FakeTarget([&](const Parameters& p, const Arrays&, Arrays& out) {
    honest_averaging(p, component.inputs(p, seed + 1), out);
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
}

TEST(Cheats, TwoRowsSwappedFail) {
  const auto result = outcome_of(cheating([](const Parameters& p, const Arrays&, Arrays& out) {
    Array& y = out.at("outputs/y");
    const Index width = p.integer("D");
    for (Index d = 0; d < width; ++d) {
      const double row = y.at(50 * width + d);
      y.set(50 * width + d, y.at(51 * width + d));
      y.set(51 * width + d, row);
    }
  }));
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_LE(result.verdict.first_divergent()->wrong_elements, 32);
}

TEST(Cheats, AReferenceThatIsZeroEverywhereIsUntrusted) {
  Component component = averaging();
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t s) {
    Arrays arrays = inputs(p, s);
    fill(arrays.at("x"), 0);
    return arrays;
  };
  const auto result = outcome_of(FakeTarget(honest_averaging), component);
  EXPECT_EQ(result.verdict.status, Status::untrusted) << result.verdict.reason;
  component.trivial = [](const Parameters&, const OutputRow& row) { return row.name == "y"; };
  EXPECT_TRUE(outcome_of(FakeTarget(honest_averaging), component).verdict.holds());
}

TEST(Cheats, AConstantReferenceIsUntrusted) {
  Component component = averaging();
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t s) {
    Arrays arrays = inputs(p, s);
    fill(arrays.at("x"), 0.5);
    return arrays;
  };
  component.reference = [reference = component.reference](const Parameters& p, const Arrays& in,
                                                          Rounding rounding) {
    Values values = reference(p, in, rounding);
    for (double& value : values.at("outputs/y").values()) value = 0.5;
    return values;
  };
  const auto result = outcome_of(cheating([](const Parameters&, const Arrays&, Arrays& out) {
                                   fill(out.at("outputs/y"), 0.5);
                                 }),
                                 component);
  EXPECT_EQ(result.verdict.status, Status::untrusted) << result.verdict.reason;
}

TEST(Cheats, AReferenceThatIsNotFiniteFails) {
  Component component = averaging();
  component.reference = [reference = component.reference](const Parameters& p, const Arrays& in,
                                                          Rounding rounding) {
    Values values = reference(p, in, rounding);
    values.at("outputs/y")[7] = std::numeric_limits<double>::quiet_NaN();
    return values;
  };
  const auto result = outcome_of(FakeTarget(honest_averaging), component);
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("reference is not finite"), std::string::npos);
}

TEST(Cheats, ATargetThatThrowsFailsWithItsSentence) {
  const auto thrown = outcome_of(FakeTarget([](const Parameters&, const Arrays&, Arrays&) {
    throw std::runtime_error("the kernel did not launch");
  }));
  EXPECT_EQ(thrown.verdict.status, Status::failed);
  EXPECT_EQ(thrown.verdict.reason, "the kernel did not launch");
  const auto guard = outcome_of(FakeTarget(
      [](const Parameters&, const Arrays&, Arrays&) { throw GuardError("wrote beyond y"); }));
  EXPECT_EQ(guard.verdict.reason, "wrote beyond y");
}

TEST(Cheats, ALostDeviceEndsTheRun) {
  EXPECT_THROW(outcome_of(FakeTarget([](const Parameters&, const Arrays&, Arrays&) {
                 throw DeviceError("no device");
               })),
               DeviceError);
}

TEST(Cheats, OutputsOfAnotherShapeOrDtypeFail) {
  const auto shape = outcome_of(cheating([](const Parameters&, const Arrays&, Arrays& out) {
    out.at("outputs/y").shape = {24, 64};
  }));
  EXPECT_EQ(shape.verdict.reason, "outputs/y: expected shape [24, 4, 16], got [24, 64]");
  const auto dtype = outcome_of(cheating([](const Parameters&, const Arrays&, Arrays& out) {
    out.at("grads/x") = Array(DType::fp32, {24, 4, 16});
  }));
  EXPECT_EQ(dtype.verdict.reason, "grads/x: expected dtype bf16, got fp32");
  const auto missing = outcome_of(
      cheating([](const Parameters&, const Arrays&, Arrays& out) { out.erase("outputs/y"); }));
  EXPECT_EQ(missing.verdict.status, Status::failed);
}

TEST(Cheats, BitwiseRowsCompareBits) {
  const auto parameters = Parameters::parse("T=5 D=8");
  EXPECT_TRUE(outcome_of(FakeTarget(honest_doubling), doubling(), parameters).verdict.holds());
  const auto result = outcome_of(FakeTarget([](const Parameters& p, const Arrays& in, Arrays& out) {
                                   honest_doubling(p, in, out);
                                   out.at("outputs/y").as<std::uint16_t>()[19] ^= 1;
                                 }),
                                 doubling(), parameters);
  EXPECT_EQ(result.verdict.status, Status::failed);
  const TensorVerdict* tensor = result.verdict.first_divergent();
  EXPECT_EQ(tensor->wrong_elements, 1);
  EXPECT_EQ(tensor->first->indices, (std::vector<Index>{2, 3}));
  EXPECT_NE(tensor->first->got_bits, tensor->first->wanted_bits);
  EXPECT_TRUE(std::isinf(result.verdict.worst.max));
}

}  // namespace
}  // namespace pairedhead::testing
