#include "reference/rounding.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "reference/dtype.h"
#include "reference/random.h"
#include "reference/scalar.h"
#include "reference/stored_at_random.h"

namespace pairedhead {
namespace {

// Magnitudes from bf16's subnormals to its largest numbers, both signs.
std::vector<double> sample_values() {
  std::vector<double> values;
  Random random(1);
  for (int exponent = -140; exponent <= 120; exponent += 5) {
    for (const double sign : {-1.0, 1.0}) {
      values.push_back(sign * std::ldexp(1 + random.uniform01(), exponent));
    }
  }
  return values;
}

TEST(Rounding, ExactIsTheIdentity) {
  Rounding rounding = Rounding::exact();
  EXPECT_TRUE(rounding.is_exact());
  for (const double x : sample_values()) EXPECT_EQ(rounding.bf16(x), x);
}

TEST(Rounding, NearestIsStorage) {
  Rounding rounding = Rounding::nearest();
  EXPECT_FALSE(rounding.is_exact());
  for (const double x : sample_values()) EXPECT_EQ(rounding.bf16(x), round_to(DType::bf16, x));
}

TEST(Rounding, ADrawIsOneOfTheTwoNeighbours) {
  for (const double x : sample_values()) {
    Rounding rounding = Rounding::stochastic(2);
    for (int n = 0; n < 32; ++n) {
      const double y = rounding.bf16(x);
      EXPECT_EQ(y, from_bf16_bits(to_bf16_bits(y))) << x;  // representable
      // No bf16 lies strictly between.
      EXPECT_EQ(from_bf16_bits(to_bf16_bits((x + 3 * y) / 4)), y) << x;
    }
  }
}

TEST(Rounding, RepresentableValuesStay) {
  Rounding rounding = Rounding::stochastic(3);
  for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const double value = from_bf16_bits(static_cast<std::uint16_t>(bits));
    EXPECT_EQ(rounding.bf16(value), value);
    EXPECT_EQ(rounding.bf16(-value), -value);
  }
}

// The mean of n draws lies within five standard errors, at most half a spacing / sqrt(n) each.
TEST(Rounding, IsUnbiased) {
  const int draws = 10000;
  std::uint64_t seed = 4;
  for (const double x : sample_values()) {
    Rounding rounding = Rounding::stochastic(seed++);
    double sum = 0;
    for (int n = 0; n < draws; ++n) sum += rounding.bf16(x) - x;
    const double spacing = std::ldexp(1.0, std::max(std::ilogb(x) - 7, -133));
    EXPECT_LE(std::abs(sum / draws), 5 * 0.5 * spacing / std::sqrt(draws)) << x;
  }
}

TEST(Rounding, PassesZeroAndTheNonFinite) {
  Rounding rounding = Rounding::stochastic(5);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(rounding.bf16(0.0), 0.0);
  EXPECT_EQ(rounding.bf16(infinity), infinity);
  EXPECT_EQ(rounding.bf16(-infinity), -infinity);
  EXPECT_TRUE(std::isnan(rounding.bf16(std::numeric_limits<double>::quiet_NaN())));
}

TEST(Rounding, ASeedNamesADraw) {
  Rounding a = Rounding::stochastic(6), b = Rounding::stochastic(6), c = Rounding::stochastic(7);
  int different = 0;
  for (int n = 0; n < 1000; ++n) {
    const double x = 1.0 + n * 0.001237;
    const double from_a = a.bf16(x);
    EXPECT_EQ(from_a, b.bf16(x));
    different += from_a != c.bf16(x);
  }
  EXPECT_GT(different, 100);
}

TEST(Rounding, ACopyDrawsTheSameNumbers) {
  Rounding original = Rounding::stochastic(8);
  Rounding copy = original;
  for (int n = 0; n < 100; ++n) EXPECT_EQ(original.bf16(1.001), copy.bf16(1.001));
}

TEST(Rounding, LeavesDerivedScalarsAlone) {
  Rounding rounding = Rounding::stochastic(9);
  EXPECT_EQ(rounding.bf16(Dual(1.001, 2)).value, 1.001);
  EXPECT_EQ(rounding.bf16(Magnitude(1.001)).value, 1.001);
  EXPECT_TRUE(rounding.bf16(Float128(1.001)) == Float128(1.001));
}

TEST(StoredAtRandom, IsOneOfTheTwoNeighboursAndUnbiased) {
  for (const DType dtype : {DType::bf16, DType::fp32}) {
    for (const double x : sample_values()) {
      const int draws = 4000;
      double sum = 0;
      for (std::uint64_t seed = 0; seed < draws; ++seed) {
        const double y = stored_at_random(dtype, x, seed);
        ASSERT_EQ(y, round_to(dtype, y)) << x;
        ASSERT_EQ(round_to(dtype, (x + 3 * y) / 4), y) << x;
        sum += y - x;
      }
      const int kept = dtype == DType::bf16 ? 7 : 23;
      const double spacing = std::ldexp(1.0, std::max(std::ilogb(x), -126) - kept);
      EXPECT_LE(std::abs(sum / draws), 5 * 0.5 * spacing / std::sqrt(draws)) << x;
    }
  }
}

TEST(StoredAtRandom, RoundsEqualValuesAlike) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const double y = stored_at_random(DType::bf16, 1.003, seed);
    EXPECT_EQ(stored_at_random(DType::bf16, 1.003, seed), y);
    EXPECT_EQ(stored_at_random(DType::bf16, -1.003, seed), -y);
    EXPECT_EQ(stored_at_random(DType::bf16, 1.003 * 0x1p-30, seed), y * 0x1p-30);
  }
}

TEST(StoredAtRandom, RoundsDifferentValuesDifferently) {
  int apart = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const bool a = stored_at_random(DType::bf16, 1 + 0.50 * 0x1p-7, seed) > 1;
    const bool b = stored_at_random(DType::bf16, 1 + 0.52 * 0x1p-7, seed) > 1;
    apart += a != b ? 1 : 0;
  }
  EXPECT_NEAR(apart, 500, 100);
}

TEST(StoredAtRandom, LeavesTheRestAlone) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(stored_at_random(DType::fp64, 1.003, 1), 1.003);
  EXPECT_EQ(stored_at_random(DType::bf16, 0, 1), 0);
  EXPECT_EQ(stored_at_random(DType::bf16, infinity, 1), infinity);
}

TEST(StoredAtRandom, IsTheSameForManyValuesAtOnce) {
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> values = {0.0, -0.0, infinity, -infinity, NAN, 1e-310, 0x1p-126, 1e300};
  while (values.size() < 1000) {
    for (const double value : sample_values()) values.push_back(value);
  }
  for (const DType dtype : {DType::bf16, DType::fp32, DType::fp64, DType::int32}) {
    for (const std::size_t count : std::vector<std::size_t>{0, 1, 8, 255, 257, values.size()}) {
      std::vector<double> stored(values.begin(), values.begin() + static_cast<Index>(count));
      stored_at_random(dtype, stored, 3, stored);
      for (std::size_t i = 0; i < count; ++i) {
        const double alone = stored_at_random(dtype, values[i], 3);
        ASSERT_EQ(std::bit_cast<std::uint64_t>(stored[i]), std::bit_cast<std::uint64_t>(alone))
            << values[i];
      }
    }
  }
}

TEST(Rounding, RoundsTensorsElementByElement) {
  const Tensor<double> rounded = Rounding::stochastic(10).bf16(Tensor<double>({64}, 1.001));
  Rounding again = Rounding::stochastic(10);
  for (const double y : rounded.values()) EXPECT_EQ(y, again.bf16(1.001));
}

}  // namespace
}  // namespace pairedhead
