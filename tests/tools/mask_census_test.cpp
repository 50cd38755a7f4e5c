#include "tools/census/mask_census.h"

#include <gtest/gtest.h>

#include "tools/components/rows.h"

namespace pairedhead {
namespace {

Parameters setting(const std::string& text) {
  return Parameters::parse(text + " softmax_scale=0.1 fill=normal");
}

// The emulated target, asked about other documents or another window than the census believes.
class Disguised final : public Target {
 public:
  explicit Disguised(std::function<void(Arrays&)> change)
      : honest_(make_target("emulated")), change_(std::move(change)) {}
  std::string name() const override { return "disguised"; }
  std::optional<std::string> skips(const Component&) const override { return std::nullopt; }
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    Arrays changed = inputs;
    change_(changed);
    honest_->run(component, parameters, changed, outputs);
  }

 private:
  std::unique_ptr<Target> honest_;
  std::function<void(Arrays&)> change_;
};

TEST(MaskCensus, CountsEveryRowOfAnHonestTarget) {
  const auto target = make_target("emulated");
  for (const char* text : {"T=70 H=6 D=16 documents=1,0,40,29 window=9 pairing=strided",
                           "T=70 H=4 D=16 documents=70 window=200 pairing=adjacent"}) {
    const auto result = mask_census(*target, component_named("attention_paired"), setting(text));
    EXPECT_EQ(result.wrong, 0) << result.first_wrong;
    EXPECT_EQ(result.rows, 2 * 2 * 70 * setting(text).integer("H"));  // keys and queries, two calls
  }
  const auto plain = mask_census(*target, component_named("attention_plain"),
                                 setting("T=90 H=3 D=24 documents=30,60 window=25"));
  EXPECT_EQ(plain.wrong, 0) << plain.first_wrong;
}

TEST(MaskCensus, FindsAWindowThatIsOneKeyTooWide) {
  Disguised target([](Arrays& inputs) { inputs.at("window").set(0, 10); });
  const auto result = mask_census(target, component_named("attention_paired"),
                                  setting("T=40 H=2 D=16 documents=40 window=9 pairing=strided"));
  EXPECT_GT(result.wrong, 0);
  EXPECT_NE(result.first_wrong.find("token"), std::string::npos);
}

TEST(MaskCensus, FindsOneDocumentBoundaryThatIsMissing) {
  Disguised target([](Arrays& inputs) { inputs.at("cu_seqlens").set(1, 0); });
  const auto result = mask_census(target, component_named("attention_plain"),
                                  setting("T=40 H=1 D=16 documents=20,20 window=3"));
  // Only the first three queries of the second document reach over the boundary.
  EXPECT_GT(result.wrong, 0);
}

}  // namespace
}  // namespace pairedhead
