#include "reference/mlp.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "reference/relu_squared.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// Hidden channels 3, -3 and 1; c_proj is read hidden x out: out[n] = sum_j h[j] c_proj[j, n].
TEST(Mlp, ByHand) {
  Tensor<double> a({1, 2}), c_fc({3, 2}), c_proj({3, 2}), g({1, 2});
  a[0] = 1, a[1] = 2;
  c_fc(0, 0) = 1, c_fc(0, 1) = 1, c_fc(1, 0) = -3, c_fc(2, 0) = 1;
  for (Index i = 0; i < 6; ++i) c_proj[i] = static_cast<double>(i + 1);
  g[0] = 1, g[1] = 10;
  const Tensor<double> out = mlp(a, c_fc, c_proj, Rounding::exact());
  EXPECT_EQ(out[0], 9 * 1 + 1 * 5);
  EXPECT_EQ(out[1], 9 * 2 + 1 * 6);
  const auto grad = mlp_backward(a, c_fc, c_proj, g, Rounding::exact());
  EXPECT_EQ(grad.c_proj(0, 1), 9 * 10);
  EXPECT_EQ(grad.c_proj(1, 1), 0);
  // dh = (21, 43, 65), dp = (126, 0, 130).
  EXPECT_EQ(grad.c_fc(0, 1), 126 * 2);
  EXPECT_EQ(grad.c_fc(1, 1), 0);
  EXPECT_EQ(grad.a[0], 126 + 130);
  EXPECT_EQ(grad.a[1], 126);
}

struct Case {
  Tensor<double> a, c_fc, c_proj, g;
};

Case make_case(std::uint64_t seed) {
  Random random(seed);
  return {normal_tensor({9, 12}, random), normal_tensor({20, 12}, random),
          normal_tensor({20, 12}, random), normal_tensor({9, 12}, random)};
}

// With identities for weights the MLP is relu squared, in bf16 at p, h, dh and dp (SPEC §3.10).
TEST(Mlp, RoundsWhatItStores) {
  Case c = make_case(1);
  c.c_fc = c.c_proj = Tensor<double>({12, 12});
  for (Index i = 0; i < 12; ++i) c.c_fc(i, i) = c.c_proj(i, i) = 1;
  Rounding rounding = Rounding::nearest();
  const Tensor<double> p = rounding.bf16(c.a);
  const Tensor<double> h = rounding.bf16(relu_squared(p));
  const Tensor<double> dp = rounding.bf16(relu_squared_backward(p, rounding.bf16(c.g)));
  const Tensor<double> out = mlp(c.a, c.c_fc, c.c_proj, rounding);
  const auto grad = mlp_backward(c.a, c.c_fc, c.c_proj, c.g, rounding);
  for (Index i = 0; i < h.size(); ++i) {
    EXPECT_EQ(out[i], h[i]);
    EXPECT_EQ(grad.a[i], dp[i]);
  }
}

// Also where it draws: dh goes on where h ended.
TEST(Mlp, TapeChangesNoBit) {
  const Case c = make_case(6);
  const Rounding rounding = Rounding::stochastic(7);
  MlpTape<double> tape;
  const auto out = mlp(c.a, c.c_fc, c.c_proj, rounding, tape);
  const auto alone = mlp(c.a, c.c_fc, c.c_proj, rounding);
  EXPECT_TRUE(std::ranges::equal(out.values(), alone.values()));
  const auto grad = mlp_backward(c.a, c.c_fc, c.c_proj, c.g, tape);
  const auto again = mlp_backward(c.a, c.c_fc, c.c_proj, c.g, rounding);
  EXPECT_TRUE(std::ranges::equal(grad.a.values(), again.a.values()));
  EXPECT_TRUE(std::ranges::equal(grad.c_fc.values(), again.c_fc.values()));
  EXPECT_TRUE(std::ranges::equal(grad.c_proj.values(), again.c_proj.values()));
}

TEST(Mlp, BackwardIsTheTransposedDerivative) {
  const Case c = make_case(2), d = make_case(3);
  InnerProduct forwards, backwards;
  forwards.add(
      c.g, mlp(dual(c.a, d.a), dual(c.c_fc, d.c_fc), dual(c.c_proj, d.c_proj), Rounding::exact()));
  const auto grad = mlp_backward(c.a, c.c_fc, c.c_proj, c.g, Rounding::exact());
  backwards.add(grad.a, d.a);
  backwards.add(grad.c_fc, d.c_fc);
  backwards.add(grad.c_proj, d.c_proj);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// A sum of 12 products counts twice in its square; then a sum of 20, of 12 or of 9 products.
TEST(Mlp, DoubleIsAsGoodAsItsRoundingsAllow) {
  const Case c = make_case(4);
  const auto out = [&]<class Scalar>(Scalar) {
    return mlp(cast<Scalar>(c.a), cast<Scalar>(c.c_fc), cast<Scalar>(c.c_proj), Rounding::exact());
  };
  EXPECT_LE(worst_roundoffs(out(0.0), out(Float128(0)), out(Magnitude(0))),
            std::sqrt(4 * 24 + 1 + 40));
  const auto grad = [&]<class Scalar>(Scalar) {
    return mlp_backward(cast<Scalar>(c.a), cast<Scalar>(c.c_fc), cast<Scalar>(c.c_proj),
                        cast<Scalar>(c.g), Rounding::exact());
  };
  const auto computed = grad(0.0);
  const auto accurate = grad(Float128(0));
  const auto terms = grad(Magnitude(0));
  EXPECT_LE(worst_roundoffs(computed.a, accurate.a, terms.a), std::sqrt(24 + 24 + 2 + 40));
  EXPECT_LE(worst_roundoffs(computed.c_fc, accurate.c_fc, terms.c_fc), std::sqrt(24 + 24 + 2 + 18));
  EXPECT_LE(worst_roundoffs(computed.c_proj, accurate.c_proj, terms.c_proj),
            std::sqrt(4 * 24 + 1 + 18));
}

TEST(Mlp, RefusesShapesThatDoNotFit) {
  const Case c = make_case(5);
  const Tensor<double> other({12, 20});
  EXPECT_THROW(mlp(c.a, other, c.c_proj, Rounding::exact()), InputError);
  EXPECT_THROW(mlp(c.a, c.c_fc, other, Rounding::exact()), InputError);
  EXPECT_THROW(mlp_backward(c.a, c.c_fc, c.c_proj, other, Rounding::exact()), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
