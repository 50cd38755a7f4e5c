#include "reference/optim/cautious_split.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "reference/dtype.h"
#include "reference/random.h"

namespace pairedhead::reference {
namespace {

// The whole float of an update of both halves.
float updated(float parameter, float direction, float rate = 0.5f, float decay = 0.25f) {
  return join(cautious_split_update(split(parameter), direction, rate, decay));
}

TEST(CautiousSplit, TheHalvesAreLossless) {
  Random random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random.bits());
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) continue;
    const SplitFloat halves = split(value);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(join(halves)), bits);
    // Truncated: never larger than the whole, less than one bf16 step away.
    const double high = from_bf16_bits(halves.high);
    ASSERT_LE(std::abs(high), std::abs(static_cast<double>(value)));
    ASSERT_EQ(std::signbit(high), std::signbit(value));
  }
  EXPECT_EQ(split(0x1.0101p0f), (SplitFloat{0x3f80, 0x8080}));
}

TEST(CautiousSplit, DecaysWhereTheDirectionShrinksTheParameter) {  // SPEC §6.2, §6.4
  EXPECT_EQ(updated(8, 2), 8 - 8 * 0.25f * 0.5f - 2 * 0.5f);
  EXPECT_EQ(updated(-8, -2), -8 + 8 * 0.25f * 0.5f + 2 * 0.5f);
  EXPECT_EQ(updated(8, -2), 8 + 2 * 0.5f);
  EXPECT_EQ(updated(-8, 2), -8 - 2 * 0.5f);
}

TEST(CautiousSplit, AZeroDirectionDecays) {  // SPEC §11.40
  EXPECT_EQ(updated(8, 0), 7);
  EXPECT_EQ(updated(8, -0.0f), 7);
  // At step 0 of the record, SPEC §6.6: multiplied by 1 - 0.0012696.
  const float moved = updated(0.03125f, 0, 0.046f, 0.0276f);
  EXPECT_NEAR(moved / 0.03125f, 1 - 0.0012696, 1e-7);
}

TEST(CautiousSplit, TheMaskLooksBeforeTheStep) {  // SPEC §11.41
  // The step takes the parameter across zero; it decays all the same.
  EXPECT_EQ(updated(1, 4), 1 - 0.125f - 2);
}

TEST(CautiousSplit, AProductThatUnderflowsStillDecays) {
  // O z is minus something below the smallest float, which rounds to -0 and is >= 0.
  const float tiny = 0x1p-100f;
  EXPECT_EQ(updated(tiny, -tiny), (tiny - tiny * 0.125f) + tiny * 0.5f);
}

TEST(CautiousSplit, SmallStepsAddUpInTheMantissa) {
  SplitFloat parameter = split(1.0f);
  for (int i = 0; i < 100; ++i) parameter = cautious_split_update(parameter, 1, 0x1p-16f, 0);
  EXPECT_EQ(join(parameter), 1 - 100 * 0x1p-16f);  // a hundred steps, each under half a bf16's
}

TEST(CautiousSplit, NanAndTheLargest) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const SplitFloat device_nan = {0x7fff, 0xffff};
  EXPECT_EQ(cautious_split_update(split(1), nan, 0.5f, 0.25f), device_nan);
  EXPECT_EQ(cautious_split_update(split(-nan), 1, 0.5f, 0.25f), device_nan);
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(updated(largest, -largest), std::numeric_limits<float>::infinity());
  EXPECT_EQ(updated(largest, 0), largest - largest * 0.125f);
}

TEST(CautiousSplit, WithoutRoundingsItIsTheFormula) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    const double z = 0.03 * random.normal(), o = random.normal();
    const double keep = o * z >= 0 ? 1 : 0;
    const double exact = z * (1 - keep * 0.0276 * 0.046) - 0.046 * o;
    EXPECT_NEAR(cautious_update(z, o, 0.046, 0.0276), exact, 1e-16);
    const auto single = [](double x) { return static_cast<float>(x); };
    EXPECT_NEAR(updated(single(z), single(o), 0.046f, 0.0276f), exact, 3e-8);
  }
}

}  // namespace
}  // namespace pairedhead::reference
