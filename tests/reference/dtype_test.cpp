#include "reference/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "reference/error.h"

namespace pairedhead {
namespace {

bool is_nan_code(std::uint32_t bits) { return (bits & 0x7f80) == 0x7f80 && (bits & 0x7f) != 0; }

TEST(DType, EveryBf16CodeSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const double value = from_bf16_bits(code);
    if (is_nan_code(bits)) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(from_bf16_bits(to_bf16_bits(value))));
    } else {
      EXPECT_EQ(to_bf16_bits(value), code);
    }
  }
}

// Every gap between finite neighbours: below the middle goes down, above goes up, the middle to the
// even code. The steps beside the middle are the smallest a double has, far under fp32's, where
// rounding twice would go wrong.
TEST(DType, EveryBf16MidpointRoundsToEven) {
  for (std::uint32_t bits = 0; bits < 0x7f7f; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
    const double middle = (from_bf16_bits(low) + from_bf16_bits(high)) / 2;
    EXPECT_EQ(to_bf16_bits(middle), bits % 2 == 0 ? low : high);
    EXPECT_EQ(to_bf16_bits(std::nextafter(middle, 0)), low);
    EXPECT_EQ(to_bf16_bits(std::nextafter(middle, 1e300)), high);
    EXPECT_EQ(to_bf16_bits(-middle), (bits % 2 == 0 ? low : high) | 0x8000);
  }
}

TEST(DType, OverflowBecomesInfinity) {
  const double largest = from_bf16_bits(0x7f7f);
  const double spacing = largest - from_bf16_bits(0x7f7e);
  EXPECT_EQ(to_bf16_bits(largest + 0.49 * spacing), 0x7f7f);
  EXPECT_EQ(to_bf16_bits(largest + 0.5 * spacing), 0x7f80);
  EXPECT_EQ(to_bf16_bits(1e300), 0x7f80);
  EXPECT_EQ(to_bf16_bits(-1e300), 0xff80);
  EXPECT_EQ(to_bf16_bits(std::numeric_limits<double>::infinity()), 0x7f80);
}

TEST(DType, ZeroKeepsItsSign) {
  EXPECT_EQ(to_bf16_bits(0.0), 0x0000);
  EXPECT_EQ(to_bf16_bits(-0.0), 0x8000);
  EXPECT_EQ(to_bf16_bits(1e-300), 0x0000);
  EXPECT_EQ(to_bf16_bits(-1e-300), 0x8000);
}

TEST(DType, RoundToStoresAndReadsBack) {
  EXPECT_EQ(round_to(DType::bf16, 1 + 0x1p-8), 1);
  EXPECT_EQ(round_to(DType::bf16, 1 + 3 * 0x1p-8), 1 + 0x1p-6);
  EXPECT_EQ(round_to(DType::fp32, 1 + 0x1p-25), 1);
  EXPECT_EQ(round_to(DType::fp32, 0.1), static_cast<double>(0.1f));
  EXPECT_EQ(round_to(DType::fp64, 0.1), 0.1);
  EXPECT_EQ(round_to(DType::int32, 7), 7);
}

// The largest relative error of one rounding is the unit roundoff, and it is reached to within a
// thousandth just above a power of two.
TEST(DType, UnitRoundoffIsTheLargestRelativeError) {
  for (const DType dtype : {DType::bf16, DType::fp32}) {
    const double u = unit_roundoff(dtype);
    double worst = 0;
    for (int i = 0; i < 4096; ++i) {
      const double x = 1 + (i / 4096.0) * 4 * u;
      worst = std::max(worst, std::abs(round_to(dtype, x) - x) / x);
    }
    EXPECT_LE(worst, u);
    EXPECT_GE(worst, 0.99 * u);
  }
  EXPECT_EQ(unit_roundoff(DType::int32), 0);
}

TEST(DType, NamesAreWordsOfTheFiles) {
  for (const DType dtype : {DType::bf16, DType::fp32, DType::fp64, DType::int32, DType::uint16}) {
    EXPECT_EQ(dtype_of(name_of(dtype)), dtype);
  }
  EXPECT_EQ(name_of(DType::bf16), "bf16");
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_EQ(size_of(DType::fp32), 4u);
  EXPECT_EQ(size_of(DType::fp64), 8u);
  EXPECT_EQ(size_of(DType::int32), 4u);
  EXPECT_EQ(size_of(DType::uint16), 2u);
  EXPECT_THROW(dtype_of("half"), InputError);
}

}  // namespace
}  // namespace pairedhead
