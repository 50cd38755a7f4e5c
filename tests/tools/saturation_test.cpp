#include "tools/components/saturation.h"

#include <gtest/gtest.h>

#include "golden/array.h"

namespace pairedhead::testing {
namespace {

// Tokens of one channel each that counts, and a gate that multiplies it by `slope`.
bool saturated(const std::vector<double>& channels, double slope, Index skipped = 0) {
  Tensor<double> a({static_cast<Index>(channels.size()), 12}), w({1, 12});
  for (std::size_t t = 0; t < channels.size(); ++t) a(static_cast<Index>(t), 0) = channels[t];
  w(0, 0) = slope;
  return all_saturated(a, w, skipped);
}

TEST(Saturation, WantsEveryGateWithoutASlope) {
  EXPECT_TRUE(saturated({60, 70}, 1));
  EXPECT_FALSE(saturated({60, 2}, 1));
  EXPECT_TRUE(saturated({2, 60}, 1, 1));  // the first token has no gate
}

// An honest case of two tokens once came out UNTRUSTED for it.
TEST(Saturation, OfFewTokensIsNoSignOfATestThatCouldNotFail) {
  const OutputRow w{.name = "w", .is_gradient = true, .dtype = DType::bf16};
  const OutputRow e{.name = "e", .is_gradient = true, .dtype = DType::bf16};
  for (const char* name : {"smear", "skip", "skip_mix_norm"}) {
    const Component& component = component_named(name);
    const auto case_of = [&](const char* tokens, const char* fill) {
      Parameters p = component.edges.front();
      return p.set("T", tokens).set("fill", fill);
    };
    EXPECT_TRUE(component.trivial(case_of("2", "sharp"), w)) << name;
    EXPECT_FALSE(component.trivial(case_of("5", "sharp"), w)) << name;
    EXPECT_FALSE(component.trivial(case_of("2", "normal"), w)) << name;
    EXPECT_FALSE(component.trivial(case_of("2", "sharp"), e)) << name;
  }
}

}  // namespace
}  // namespace pairedhead::testing
