#include "tools/verdict/independence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "golden/array.h"
#include "reference/random.h"

namespace pairedhead {
namespace {

constexpr int draw_count = 32;

// Draws around y*, each made by one call of `draw` on a copy of it.
template <class Draw>
Independence independence_over(const Tensor<double>& exact, const Tensor<double>& scale,
                               DType dtype, const Draw& draw) {
  std::vector<Tensor<double>> drawn;
  for (int k = 0; k < draw_count; ++k) {
    Random random = Random(17).split(static_cast<std::uint64_t>(k));
    drawn.push_back(exact);
    draw(random, drawn.back());
  }
  std::vector<const Tensor<double>*> draws;
  for (const Tensor<double>& tensor : drawn) draws.push_back(&tensor);
  return independence_of(draws, exact, scale, dtype, 5);
}

const auto nothing = [](Random&, Tensor<double>&) {};

// sigma of values that are only stored.
Tensor<double> storing(const Tensor<double>& exact) {
  Tensor<double> scale(exact.shape());
  for (Index i = 0; i < exact.size(); ++i) scale[i] = std::abs(exact[i]) * 0x1p-9;
  return scale;
}

TEST(Independence, CountsErrorsThatAreTheirOwn) {
  const auto independence = independence_over(Tensor<double>({16, 64}), Tensor<double>({16, 64}, 1),
                                              DType::fp64, [](Random& random, Tensor<double>& y) {
                                                for (double& value : y.values())
                                                  value += random.normal();
                                              });
  EXPECT_NEAR(independence.tensor, 1024, 150);
  ASSERT_EQ(independence.rows.size(), 16u);
  for (const double row : independence.rows) EXPECT_NEAR(row, 64, 20);
}

TEST(Independence, ARowThatIsScaledAsAWholeIsOneError) {
  Tensor<double> exact({16, 64});
  Random values(3);
  for (double& value : exact.values()) value = values.normal();
  const auto independence = independence_over(exact, Tensor<double>({16, 64}, 1), DType::fp64,
                                              [](Random& random, Tensor<double>& y) {
                                                for (Index row = 0; row < 16; ++row) {
                                                  const double factor = 1 + random.normal();
                                                  for (Index i = 0; i < 64; ++i) {
                                                    y(row, i) *= factor;
                                                  }
                                                }
                                              });
  EXPECT_NEAR(independence.tensor, 16, 6);
  for (const double row : independence.rows) EXPECT_NEAR(row, 1, 0.5);
}

// Their errors do not differ, whatever their number.
TEST(Independence, EqualValuesRoundAlike) {
  const Tensor<double> exact({4, 1024}, 1.003);
  const auto independence = independence_over(exact, storing(exact), DType::bf16, nothing);
  EXPECT_NEAR(independence.tensor, 1, 0.5);
  for (const double row : independence.rows) EXPECT_NEAR(row, 1, 0.5);
}

TEST(Independence, SoDoNearlyEqualOnesAndPowersOfTwoOfThem) {
  Tensor<double> exact({1, 1024});
  for (Index i = 0; i < 1024; ++i) {
    const double sign = i % 2 == 0 ? 1 : -1;
    exact[i] = sign * std::ldexp(1.003 + 1e-9 * static_cast<double>(i), static_cast<int>(i % 7));
  }
  const auto independence = independence_over(exact, storing(exact), DType::bf16, nothing);
  EXPECT_NEAR(independence.tensor, 1, 0.5);
}

TEST(Independence, OfFewValuesThatRecurThereAreFew) {
  Tensor<double> exact({8, 128});
  for (Index i = 0; i < exact.size(); ++i) exact[i] = 1.003 + 0.1 * static_cast<double>(i % 5);
  const auto independence = independence_over(exact, storing(exact), DType::bf16, nothing);
  EXPECT_GT(independence.tensor, 1.5);
  EXPECT_LE(independence.tensor, 6);
}

TEST(Independence, DifferentValuesRoundDifferently) {
  Tensor<double> exact({1, 512});
  for (Index i = 0; i < 512; ++i) exact[i] = 1 + 1.7e-3 * static_cast<double>(i);
  const auto independence = independence_over(exact, storing(exact), DType::bf16, nothing);
  EXPECT_GT(independence.tensor, 200);
}

// Noise before they are stored tells equal values apart again.
TEST(Independence, NoiseTellsEqualValuesApart) {
  const Tensor<double> exact({1, 512}, 1.003);
  const Tensor<double> scale({1, 512}, 0x1p-6);
  const auto independence =
      independence_over(exact, scale, DType::bf16, [](Random& random, Tensor<double>& y) {
        for (double& value : y.values()) value += 0x1p-6 * random.normal();
      });
  EXPECT_GT(independence.tensor, 200);
}

TEST(Independence, WhatIsExactDoesNotCount) {
  Tensor<double> exact({1, 64}, 0.5), scale({1, 64});
  EXPECT_EQ(independence_over(exact, scale, DType::bf16, nothing).tensor, 64);
  exact[3] = 1.003;
  scale[3] = 0x1p-9;
  EXPECT_NEAR(independence_over(exact, scale, DType::bf16, nothing).tensor, 1, 0.5);
}

TEST(Independence, IsTheElementsAtMost) {
  const auto all = all_independent({3, 5, 7});
  EXPECT_EQ(all.tensor, 105);
  EXPECT_EQ(all.rows, std::vector<double>(15, 7));
  EXPECT_EQ(all_independent({}).rows, std::vector<double>(1, 1));
}

TEST(Independence, RowsStandForNoMoreThanOneOfThem) {
  const Independence some = rows_of({40, {1, 2, 9, 4}}, 1, 3);
  EXPECT_EQ(some.tensor, 9);
  EXPECT_EQ(some.rows, (std::vector<double>{2, 9, 4}));
}

TEST(RmsLimit, FallsFromThatOfOneElement) {
  EXPECT_EQ(rms_limit(1), element_limit);
  EXPECT_NEAR(rms_limit(1 + 1e-9), element_limit, 1e-6);
  for (double n = 1; n < 1e6; n *= 1.5) EXPECT_GT(rms_limit(n), rms_limit(1.5 * n));
  EXPECT_GT(rms_limit(1e12), std::sqrt(4.0 / 3));
  EXPECT_NEAR(rms_limit(1e12), std::sqrt(4.0 / 3), 1e-4);
}

// Held against the distribution it bounds: of means of n squares none in 10^5 comes near.
TEST(RmsLimit, IsNotReachedByNormalErrors) {
  for (const int n : {2, 8, 64}) {
    Random random(static_cast<std::uint64_t>(n));
    double worst = 0;
    for (int trial = 0; trial < 100000; ++trial) {
      double squares = 0;
      for (int i = 0; i < n; ++i) {
        const double error = random.normal();
        squares += error * error;
      }
      worst = std::max(worst, std::sqrt(squares / n));
    }
    EXPECT_LT(worst, rms_limit(n)) << n;
    EXPECT_GT(worst, rms_limit(n) / 2) << n;  // nor is it far away
  }
}

}  // namespace
}  // namespace pairedhead
