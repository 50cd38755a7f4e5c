#include "tools/verdict/second_opinion.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "tests/tools/fake_component.h"
#include "tools/verify/run_case.h"

namespace pairedhead::testing {
namespace {

// y = x in fp64, but the first of 32 elements is a switch that is off: an M point beside its
// threshold turns it on, adding 2, in one honest rounding of sixteen.
struct Switch {
  Component component;
  std::shared_ptr<std::atomic<int>> evaluations = std::make_shared<std::atomic<int>>(0);

  Switch() {
    component.name = "switch";
    component.judgement = Judgement::ratio;
    component.outputs = {{"y", false, DType::fp64}};
    component.check = [](const Parameters&) {};
    component.inputs = [](const Parameters&, std::uint64_t) {
      Arrays arrays;
      arrays["x"] = Array(DType::fp64, {1, 32});
      for (Index i = 0; i < 32; ++i) arrays["x"].set(i, 1 + static_cast<double>(i));
      return arrays;
    };
    component.reference = [evaluations = evaluations](const Parameters&, const Arrays& arrays,
                                                      Rounding rounding) {
      ++*evaluations;
      Tensor<double> y = to_tensor(arrays.at("x"));
      const double above = 1 + 0x1p-7;  // the bf16 number after 1
      if (rounding.bf16(1 + 0x1p-11) >= above) y[0] += 2;
      for (double& value : y.values()) value *= 1 + (rounding.bf16(1 + 0x1p-8) - 1) / 256;
      if (rounding.is_exact()) y = to_tensor(arrays.at("x"));
      return Values{{"outputs/y", y}};
    };
    component.magnitude = [](const Parameters&, const Arrays& arrays) {
      return Values{{"outputs/y", to_tensor(arrays.at("x"))}};
    };
  }

  // A seed none of whose noise_draws turns the switch on.
  std::uint64_t blind_seed() const {
    std::uint64_t seed = 1;
    while (truth_of(component, {}, component.inputs({}, 0), seed).scale.at("outputs/y")[0] > 0.1) {
      ++seed;
    }
    return seed;
  }

  Verdict run(const FakeTarget::Run& target) {
    const std::uint64_t seed = blind_seed();
    FakeTarget fake([&](const Parameters& p, const Arrays& inputs, Arrays& outputs) {
      for (Index i = 0; i < 32; ++i) outputs.at("outputs/y").set(i, inputs.at("x").at(i));
      // as a kernel does that sums in another order: no copy of the input
      outputs.at("outputs/y").set(1, inputs.at("x").at(1) * (1 + 0x1p-18));
      target(p, inputs, outputs);
    });
    *evaluations = 0;
    return CaseRunner(component, fake).run({{}, seed}, false).verdict;
  }
};

TEST(SecondOpinion, AcquitsARareErrorThatFewDrawsDoNotShow) {
  Switch rare;
  const Verdict verdict = rare.run(
      [](const Parameters&, const Arrays&, Arrays& outputs) { outputs.at("outputs/y").set(0, 3); });
  EXPECT_EQ(verdict.status, Status::passed) << verdict.reason;
  EXPECT_EQ(verdict.tensors[0].draws, most_noise_draws);
  EXPECT_NEAR(verdict.worst.max, 4, 1);  // one in sixteen: sqrt(16) sigma
}

TEST(SecondOpinion, UpholdsAnErrorThatNoDrawShows) {
  Switch rare;
  const Verdict verdict = rare.run([](const Parameters&, const Arrays& inputs, Arrays& outputs) {
    outputs.at("outputs/y").set(5, inputs.at("x").at(5) + 2);
  });
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_EQ(verdict.tensors[0].draws, most_noise_draws);
  ASSERT_TRUE(verdict.tensors[0].first);
  EXPECT_EQ(verdict.tensors[0].first->indices, (std::vector<Index>{0, 5}));
}

TEST(SecondOpinion, IsNotAskedWhereMuchIsWrong) {
  Switch rare;
  const Verdict verdict = rare.run([](const Parameters&, const Arrays& inputs, Arrays& outputs) {
    for (Index i = 0; i < 32; ++i) outputs.at("outputs/y").set(i, inputs.at("x").at(i) + 2);
  });
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_EQ(verdict.tensors[0].draws, noise_draws);
  EXPECT_EQ(*rare.evaluations, 1 + noise_draws);
}

TEST(SecondOpinion, IsNotAskedWhereACaseHolds) {
  Switch rare;
  const Verdict verdict = rare.run([](const Parameters&, const Arrays&, Arrays&) {});
  EXPECT_EQ(verdict.status, Status::passed) << verdict.reason;
  EXPECT_EQ(*rare.evaluations, 1 + noise_draws);
}

}  // namespace
}  // namespace pairedhead::testing
