#include "tools/census/sampled_tokens.h"

#include <gtest/gtest.h>

namespace pairedhead {
namespace {

struct Setting {
  const char *component, *parameters, *axis;
  Index outputs;  // that have the axis
};

const Setting settings[] = {
    {"mix_norm", "T=37 C=16 gates=1 x_before=1 x0_before=1 fill=normal", "T", 4},
    {"qk_prepare", "T=37 H=2 D=16 paired=1 normalise=1 shift=1 fill=normal", "T", 4},
    {"embed_smear_norm", "T=37 C=16 V=9 entry=1 tied=1 fill=normal", "T", 1},
    {"value_embedding", "T=37 C=16 V=9 fill=normal", "T", 3},
    {"linear", "T=37 K=16 N=8 fill=normal", "T", 2},
    {"adam_step", "n=37 fill=normal label=embed updates=3", "n", 3}};

TEST(SampledTokens, HoldForAnHonestTarget) {
  const auto target = make_target("emulated");
  for (const Setting& s : settings) {
    const auto result = sampled_tokens(*target, component_named(s.component),
                                       Parameters::parse(s.parameters), s.axis, 1, 5);
    EXPECT_EQ(result.failed, 0) << s.component << ": " << result.first_failure;
    EXPECT_EQ(result.rows, 5 * s.outputs) << s.component;
  }
}

// Right everywhere but in the last place of each output.
class WrongAtTheEnd final : public Target {
 public:
  std::string name() const override { return "wrong at the end"; }
  std::optional<std::string> skips(const Component&) const override { return std::nullopt; }
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    honest_->run(component, parameters, inputs, outputs);
    for (auto& [key, array] : outputs) array.set(array.size() - 1, 3 * array.at(array.size() - 1));
  }

 private:
  std::unique_ptr<Target> honest_ = make_target("emulated");
};

TEST(SampledTokens, FindWhatIsWrongAtTheEnd) {
  WrongAtTheEnd target;
  for (const Setting& s : settings) {
    const auto result = sampled_tokens(target, component_named(s.component),
                                       Parameters::parse(s.parameters), s.axis, 1, 2);
    EXPECT_GT(result.failed, 0) << s.component;
    EXPECT_NE(result.first_failure.find(std::string(s.axis) + " = 36"), std::string::npos)
        << result.first_failure;
  }
}

}  // namespace
}  // namespace pairedhead
