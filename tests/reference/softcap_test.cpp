#include "reference/softcap.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

Tensor<double> logits(std::initializer_list<double> values) {
  Tensor<double> z({static_cast<Index>(values.size())});
  std::copy(values.begin(), values.end(), z.data());
  return z;
}

TEST(Softcap, HandWorkedValues) {  // SPEC §3.8
  const Tensor<double> l = softcap(logits({-5, 0, -5 + 7.5 * std::log(3.0), -1000, 1000}));
  EXPECT_EQ(l[0], 11.5);
  EXPECT_NEAR(l[1], 15.1974, 5e-5);
  EXPECT_NEAR(l[2], 17.25, 23 * 4 * 0x1p-53);  // sig(ln 3) = 3/4
  EXPECT_GE(l[3], 0);
  EXPECT_LE(l[3], 1e-50);
  EXPECT_EQ(l[4], 23);
}

TEST(Softcap, SteepestAtMinusFive) {  // SPEC §5: 23/30
  const Tensor<double> z = logits({-5, -5.5, -4.5, 20}), ones({4}, 1.0);
  const Tensor<double> slope = softcap_backward(z, ones);
  EXPECT_NEAR(slope[0], 23.0 / 30, 4 * 0x1p-53);
  EXPECT_LT(slope[1], slope[0]);
  EXPECT_LT(slope[2], slope[0]);
  EXPECT_NEAR(slope[1], slope[2], 8 * 0x1p-53);
  EXPECT_LT(slope[3], 0.2);
}

TEST(Softcap, BackwardIsTheTransposedDerivative) {
  Random random(1);
  for (const double size : {0.1, 1.0, 20.0}) {
    Tensor<double> z = normal_tensor({3, 40}, random);
    for (double& x : z.values()) x *= size;
    const Tensor<double> dz = normal_tensor(z.shape(), random),
                         g = normal_tensor(z.shape(), random);
    InnerProduct forwards, backwards;
    forwards.add(g, softcap(dual(z, dz)));
    backwards.add(softcap_backward(z, g), dz);
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

// Sum, quotient, exp, sum, reciprocal, product; the slope adds four operations.
TEST(Softcap, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(2);
  const Tensor<double> z = normal_tensor({5, 64}, random), g = normal_tensor({5, 64}, random);
  EXPECT_LE(worst_roundoffs(softcap(z), softcap(cast<Float128>(z)), softcap(cast<Magnitude>(z))),
            std::sqrt(6.0));
  EXPECT_LE(worst_roundoffs(softcap_backward(z, g),
                            softcap_backward(cast<Float128>(z), cast<Float128>(g)),
                            softcap_backward(cast<Magnitude>(z), cast<Magnitude>(g))),
            std::sqrt(10.0));
}

TEST(Softcap, RefusesShapesThatDiffer) {
  EXPECT_THROW(softcap_backward(Tensor<double>({2, 3}), Tensor<double>({3, 2})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
