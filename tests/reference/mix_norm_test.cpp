#include "reference/mix_norm.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

struct Case {
  MixNormInputs<double> in;
  MixNormIncoming<double> incoming;
};

Case make_case(std::uint64_t seed, bool skips) {
  Random random(seed);
  const Shape shape = {7, 20};
  const auto normal = [&] { return normal_tensor(shape, random); };
  Case c{{normal(), normal(), random.normal(), random.normal(), skips},
         {normal(), normal(), normal_tensor({7, 12}, random), normal(), normal()}};
  if (skips) {
    c.in.x_skip = normal();
    c.in.w = normal_tensor({1, 12}, random);
    c.in.theta = random.normal();
  }
  return c;
}

// Channels alike, so that the norm leaves their signs: mixed = 2 (x + skip) - x0, the skip's gain
// sig(0) 2 sig(0) = 1/2.
TEST(MixNorm, ByHand) {
  const Shape shape = {1, 12};
  MixNormInputs<double> in{Tensor<double>(shape, 3), Tensor<double>(shape, 1), 2, -1};
  EXPECT_EQ(mix_norm(in).mixed[7], 5);
  EXPECT_NEAR(mix_norm(in).a[7], 1, 1e-8);
  in.skips = true;
  in.x_skip = Tensor<double>(shape, 4);
  in.w = Tensor<double>(shape);
  EXPECT_EQ(mix_norm(in).mixed[7], 9);
  // Nothing passes a norm along its input, so what reaches the stream is grad_mixed alone.
  const MixNormIncoming<double> incoming{Tensor<double>(shape, 10), Tensor<double>(shape, 1)};
  const auto grad = mix_norm_backward(in, incoming);
  EXPECT_NEAR(grad.x[3], 20, 1e-6);
  EXPECT_NEAR(grad.x0[3], -10, 1e-6);
  EXPECT_NEAR(grad.x_skip[3], 10, 1e-6);
  EXPECT_NEAR(grad.rho, 12 * 10 * 5, 1e-4);
  EXPECT_NEAR(grad.lam, 12 * 10, 1e-5);
  EXPECT_NEAR(grad.theta, 0.25 * 12 * 20 * 4, 1e-4);
}

TEST(MixNorm, BackwardIsTheTransposedDerivative) {
  for (const bool skips : {false, true}) {
    const Case c = make_case(1, skips), d = make_case(2, skips);
    MixNormInputs<Dual> in{dual(c.in.x, d.in.x), dual(c.in.x0, d.in.x0), Dual(c.in.rho, d.in.rho),
                           Dual(c.in.lam, d.in.lam), skips};
    if (skips) {
      in.x_skip = dual(c.in.x_skip, d.in.x_skip);
      in.w = dual(c.in.w, d.in.w);
      in.theta = Dual(c.in.theta, d.in.theta);
    }
    const auto [mixed, a] = mix_norm(in);
    InnerProduct forwards, backwards;
    forwards.add(c.incoming.mixed, mixed);
    forwards.add(c.incoming.a, a);
    for (Index t = 0; t < 7; ++t) {
      for (Index i = 0; i < 12; ++i) forwards.add(c.incoming.a_gates(t, i), a(t, i).derivative);
    }
    forwards.add(c.incoming.x_before, d.in.x);
    forwards.add(c.incoming.x0_before, d.in.x0);
    const auto grad = mix_norm_backward(c.in, c.incoming);
    backwards.add(grad.x, d.in.x);
    backwards.add(grad.x0, d.in.x0);
    backwards.add(grad.rho, d.in.rho);
    backwards.add(grad.lam, d.in.lam);
    backwards.add(grad.x_skip, d.in.x_skip);
    backwards.add(grad.w, d.in.w);
    backwards.add(grad.theta, d.in.theta);
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

TEST(MixNorm, RefusesShapesThatDoNotFit) {
  const Case c = make_case(3, true);
  const Tensor<double> narrow({7, 11});
  MixNormInputs<double> in = c.in;
  in.x = narrow;
  EXPECT_THROW(mix_norm(in), InputError);
  in = c.in;
  in.x_skip = narrow;
  EXPECT_THROW(mix_norm(in), InputError);
  for (Tensor<double> MixNormIncoming<double>::*given :
       {&MixNormIncoming<double>::mixed, &MixNormIncoming<double>::a,
        &MixNormIncoming<double>::a_gates, &MixNormIncoming<double>::x_before,
        &MixNormIncoming<double>::x0_before}) {
    MixNormIncoming<double> incoming = c.incoming;
    incoming.*given = narrow;
    EXPECT_THROW(mix_norm_backward(c.in, incoming), InputError);
  }
}

}  // namespace
}  // namespace pairedhead::reference
