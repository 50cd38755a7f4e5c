#include "reference/value_mix.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// The gate of head 0 is 2 sig(ln 3) = 3/2, that of head 1 2 sig(-ln 3) = 1/2.
TEST(ValueMix, ByHand) {
  Tensor<double> v({1, 2, 1}), ve({1, 2}), a({1, 12}), w({2, 12}), g({1, 2, 1});
  v[0] = 1, v[1] = 2, ve[0] = 4, ve[1] = 8, a[3] = 1, g[0] = 1, g[1] = 3;
  w(0, 3) = std::log(3.0), w(1, 3) = -std::log(3.0);
  const Tensor<double> mixed = value_mix(v, ve, a, w);
  EXPECT_NEAR(mixed[0], 1 + 1.5 * 4, 0x1p-49);
  EXPECT_NEAR(mixed[1], 2 + 0.5 * 8, 0x1p-49);
  // Slope 2 * 3/16 for both heads, times <g, ve> = 4 and 24.
  const auto grad = value_mix_backward(v, ve, a, w, g);
  EXPECT_EQ(grad.v[0], 1);
  EXPECT_EQ(grad.v[1], 3);
  EXPECT_NEAR(grad.ve[0], 1.5, 0x1p-50);
  EXPECT_NEAR(grad.ve[1], 1.5, 0x1p-50);
  EXPECT_NEAR(grad.w(0, 3), 1.5, 0x1p-48);
  EXPECT_NEAR(grad.w(1, 3), 9, 0x1p-46);
  EXPECT_NEAR(grad.a[3], (1.5 - 9) * std::log(3.0), 0x1p-46);
}

struct Case {
  Tensor<double> v, ve, a, w, g;
};

Case make_case(std::uint64_t seed) {
  Random random(seed);
  Case c{normal_tensor({7, 3, 16}, random), normal_tensor({7, 48}, random),
         normal_tensor({7, 48}, random), normal_tensor({3, 12}, random),
         normal_tensor({7, 3, 16}, random)};
  for (double& w : c.w.values()) w *= 0.3;
  return c;
}

TEST(ValueMix, BackwardIsTheTransposedDerivative) {
  const Case c = make_case(1), d = make_case(2);
  InnerProduct forwards, backwards;
  forwards.add(c.g, value_mix(dual(c.v, d.v), dual(c.ve, d.ve), dual(c.a, d.a), dual(c.w, d.w)));
  const auto grad = value_mix_backward(c.v, c.ve, c.a, c.w, c.g);
  backwards.add(grad.v, d.v);
  backwards.add(grad.ve, d.ve);
  backwards.add(grad.a, d.a);
  backwards.add(grad.w, d.w);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// As for the output gate, with the factor 2 and one sum more.
TEST(ValueMix, DoubleIsAsGoodAsItsRoundingsAllow) {
  const Case c = make_case(3);
  const auto mixed = [&]<class Scalar>(Scalar) {
    return value_mix(cast<Scalar>(c.v), cast<Scalar>(c.ve), cast<Scalar>(c.a), cast<Scalar>(c.w));
  };
  EXPECT_LE(worst_roundoffs(mixed(0.0), mixed(Float128(0)), mixed(Magnitude(0))), std::sqrt(30));
  const auto grad = [&]<class Scalar>(Scalar) {
    return value_mix_backward(cast<Scalar>(c.v), cast<Scalar>(c.ve), cast<Scalar>(c.a),
                              cast<Scalar>(c.w), cast<Scalar>(c.g));
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  EXPECT_LE(worst_roundoffs(computed.ve, accurate.ve, terms.ve), std::sqrt(29));
  EXPECT_LE(worst_roundoffs(computed.a, accurate.a, terms.a), std::sqrt(30 + 36 + 6));
  EXPECT_LE(worst_roundoffs(computed.w, accurate.w, terms.w), std::sqrt(30 + 36 + 14));
}

TEST(ValueMix, RefusesShapesThatDoNotFit) {
  const Case c = make_case(4);
  EXPECT_THROW(value_mix(c.v, c.v, c.a, c.w), InputError);
  EXPECT_THROW(value_mix(c.v, c.ve, Tensor<double>({7, 11}), c.w), InputError);
  EXPECT_THROW(value_mix(c.v, c.ve, c.a, Tensor<double>({3, 13})), InputError);
  EXPECT_THROW(value_mix_backward(c.v, c.ve, c.a, c.w, c.ve), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
