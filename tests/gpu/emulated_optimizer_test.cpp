#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/fp8.h"
#include "gpu/emulated/optimizer.h"
#include "gpu/emulated/polar.h"

// The optimizers' algorithms where every value can be said by hand.

namespace pairedhead::gpu::emulated {
namespace {

TEST(EmulatedOptimizer, Fp8ByHand) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values = {0, -1, 1.0625f, 500, -0x1p-9f, 0x1p-10f, 1e30f, nan};
  std::vector<std::uint16_t> x;
  for (const float value : values) x.push_back(to_bf16(value));
  std::vector<std::uint8_t> e4m3(x.size()), e5m2(x.size());
  quantise_fp8(x.data(), static_cast<std::int64_t>(x.size()), 1, e4m3.data(), e5m2.data());
  EXPECT_EQ(e4m3, (std::vector<std::uint8_t>{0x00, 0xb8, 0x38, 0x7e, 0x81, 0x00, 0x7e, 0x7f}));
  EXPECT_EQ(e5m2, (std::vector<std::uint8_t>{0x00, 0xbc, 0x3c, 0x60, 0x98, 0x14, 0x7b, 0x7f}));
}

TEST(EmulatedOptimizer, MomentumLooksAhead) {
  const std::uint16_t gradient = to_bf16(8);
  float moment = 16, direction = 0;
  momentum(&gradient, &moment, &direction, 1, 0.75f);
  EXPECT_EQ(moment, 14);
  EXPECT_EQ(direction, 2 + 0.75f * 14);
}

TEST(EmulatedOptimizer, ASplitParameterDecaysUnderAZeroDirection) {
  std::uint16_t parameter = to_bf16(8), mantissa = 0;
  const std::uint16_t zero = 0, nan = 0x7fc0;
  cautious_split_update(&parameter, &mantissa, &zero, 1, 0.5f, 0.25f);
  EXPECT_EQ(from_bf16(parameter), 7);
  EXPECT_EQ(mantissa, 0);
  cautious_split_update(&parameter, &mantissa, &nan, 1, 0.5f, 0.25f);
  EXPECT_EQ(parameter, 0x7fff);
  EXPECT_EQ(mantissa, 0xffff);
}

TEST(EmulatedOptimizer, AdamLeavesAloneWhatWasNeverTouched) {
  const AdamProblem problem = {
      .beta1 = 0.9, .beta2 = 0.99, .learning_rate = 1, .weight_decay = 1, .updates = 3};
  float parameter = 0.375f, first = 0, second = 0;
  const float gradient = 0;
  adam_step(problem, &parameter, &gradient, &first, &second, 1);
  EXPECT_EQ(parameter, 0.375f);
  EXPECT_EQ(second, 0);
}

// A tall matrix is worked on transposed and comes back upright; zeros stay zeros.
TEST(EmulatedOptimizer, PolarExpressTurnsATallMatrixAndBack) {
  constexpr int rows = 5, columns = 2;
  std::vector<float> direction(rows * columns);
  direction[0] = 3;                 // row 0, column 0
  direction[4 * columns + 1] = -3;  // row 4, column 1
  const Bf16Matrix normal = polar_normalise(direction.data(), rows, columns, 1);
  EXPECT_NEAR(from_bf16(normal[0]), 1 / (1.02 * std::sqrt(2.0)), 0x1p-8);
  EXPECT_NEAR(from_bf16(normal[1 * rows + 4]), -1 / (1.02 * std::sqrt(2.0)), 0x1p-8);
  const Bf16Matrix x = polar_express(direction.data(), rows, columns, false, 1);
  for (int i = 0; i < rows * columns; ++i) {
    const float value = from_bf16(x[static_cast<std::size_t>(i)]);
    if (direction[static_cast<std::size_t>(i)] == 0) {
      EXPECT_EQ(value, 0) << i;
    } else {
      EXPECT_NEAR(std::abs(value), 1, 0.15) << i;
      EXPECT_EQ(value > 0, direction[static_cast<std::size_t>(i)] > 0) << i;
    }
  }
}

TEST(EmulatedOptimizer, VarianceReductionEvensTheRowsOut) {
  // Rows (3, 0) and (0, 1): equally long afterwards, sqrt(5) each, the norm kept.
  std::vector<std::uint16_t> update = {to_bf16(3), 0, 0, to_bf16(1)};
  std::vector<float> second_moment = {0, 0};
  variance_reduction(update.data(), second_moment.data(), 2, 2, 1);
  EXPECT_NEAR(from_bf16(update[0]), std::sqrt(5.0), 3 * 0x1p-7);
  EXPECT_NEAR(from_bf16(update[3]), std::sqrt(5.0), 3 * 0x1p-7);
  EXPECT_FLOAT_EQ(second_moment[0], 0.05f * 4.5f);
}

}  // namespace
}  // namespace pairedhead::gpu::emulated
