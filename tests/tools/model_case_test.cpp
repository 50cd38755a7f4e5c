#include "tools/components/model_case.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pairedhead::testing {
namespace {

// Units of one channel that counts: p(t, unit) = x(t) w(unit).
std::vector<Index> near(const std::vector<double>& x, const std::vector<double>& w) {
  Tensor<double> tokens({static_cast<Index>(x.size()), 2}),
      weights({static_cast<Index>(w.size()), 2});
  for (std::size_t t = 0; t < x.size(); ++t) tokens(static_cast<Index>(t), 0) = x[t];
  for (std::size_t u = 0; u < w.size(); ++u) weights(static_cast<Index>(u), 0) = w[u];
  return units_near_their_kink(tokens, weights);
}

TEST(ModelCase, AUnitIsNearItsKinkWhereItIsOffButOnlyJust) {
  EXPECT_EQ(near({-0.01, 1}, {1}), (std::vector<Index>{0}));
  EXPECT_EQ(near({0.01, 1}, {1}), (std::vector<Index>{}));   // on: the slope is continuous
  EXPECT_EQ(near({-0.06, 1}, {1}), (std::vector<Index>{}));  // well off
  EXPECT_EQ(near({-0.01, 1}, {1, 2, 7}), (std::vector<Index>{0, 1}));
}

TEST(ModelCase, OneTokenMattersLittleWhereThreeOthersAreOn) {
  EXPECT_EQ(near({-0.01, 1, 1}, {1}), (std::vector<Index>{0}));
  EXPECT_EQ(near({-0.01, 1, 1, 1}, {1}), (std::vector<Index>{}));
  EXPECT_EQ(near({-0.01, 1, 1, 0.02}, {1}), (std::vector<Index>{0}));
}

TEST(ModelCase, WhatIsDrawnDoesNotCancelInTheFirstMix) {
  const Component& model = component_named("model");
  const Parameters p = model.edges.front();
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Arrays arrays = model.inputs(p, seed);
    EXPECT_GE(std::abs(arrays.at("scalars").at(0) + arrays.at("x0_lambdas").at(0)), 0.25);
  }
}

}  // namespace
}  // namespace pairedhead::testing
