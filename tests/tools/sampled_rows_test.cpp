#include "tools/census/sampled_rows.h"

#include <gtest/gtest.h>

namespace pairedhead {
namespace {

const char* const paired_setting =
    "T=300 H=6 D=16 documents=120,0,1,179 window=21 softmax_scale=0.1 fill=normal pairing=strided";
const char* const plain_setting =
    "T=200 H=3 D=16 documents=90,110 window=12 softmax_scale=0.1 fill=normal";

TEST(SampledRows, HoldForAnHonestTarget) {
  const auto target = make_target("emulated");
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const auto paired = sampled_rows(*target, component_named("attention_paired"),
                                     Parameters::parse(paired_setting), seed, 4);
    EXPECT_EQ(paired.failed, 0) << paired.first_failure;
    EXPECT_EQ(paired.rows, 8);
    const auto plain = sampled_rows(*target, component_named("attention_plain"),
                                    Parameters::parse(plain_setting), seed, 4);
    EXPECT_EQ(plain.failed, 0) << plain.first_failure;
    EXPECT_EQ(plain.rows, 4);
  }
}

// Right everywhere but in the gradient of the batch's last key.
class WrongAtTheEnd final : public Target {
 public:
  std::string name() const override { return "wrong at the end"; }
  std::optional<std::string> skips(const Component&) const override { return std::nullopt; }
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    honest_->run(component, parameters, inputs, outputs);
    Array& grad = outputs.at("grads/k");
    for (Index i = grad.size() - 16 * 6; i < grad.size(); ++i) grad.set(i, 2 * grad.at(i));
  }

 private:
  std::unique_ptr<Target> honest_ = make_target("emulated");
};

TEST(SampledRows, FindAWrongGradientAtTheEnd) {
  WrongAtTheEnd target;
  const auto result = sampled_rows(target, component_named("attention_paired"),
                                   Parameters::parse(paired_setting), 1, 4);
  EXPECT_GT(result.failed, 0);
  EXPECT_NE(result.first_failure.find("grads/k"), std::string::npos) << result.first_failure;
}

}  // namespace
}  // namespace pairedhead
