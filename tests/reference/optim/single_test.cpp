#include "reference/optim/single.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>

#include "reference/random.h"

namespace pairedhead::reference {
namespace {

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

// A NaN is a NaN, whatever its sign and payload.
::testing::AssertionResult same(Single got, float wanted) {
  if (std::isnan(got.get()) && std::isnan(wanted)) return ::testing::AssertionSuccess();
  if (bits(got.get()) == bits(wanted)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << got.get() << " for " << wanted;
}

// Every kind of float: any bit pattern, half of them near each other in size.
float draw(Random& random) {
  const auto any = static_cast<std::uint32_t>(random.bits());
  if (random.integer(0, 1) == 0) return std::bit_cast<float>(any);
  return std::bit_cast<float>((any & 0x80ffffffu) | 0x3f000000u);
}

// The processor's own fp32 arithmetic.
TEST(Single, IsTheProcessorsFp32) {
  Random random(5);
  for (int i = 0; i < 2'000'000; ++i) {
    const volatile float a = draw(random), b = draw(random);
    const Single x = a, y = b;
    ASSERT_TRUE(same(x + y, a + b)) << a << " " << b;
    ASSERT_TRUE(same(x - y, a - b)) << a << " " << b;
    ASSERT_TRUE(same(x * y, a * b)) << a << " " << b;
    ASSERT_TRUE(same(x / y, a / b)) << a << " " << b;
    ASSERT_TRUE(same(sqrt(x), std::sqrt(a))) << a;
    ASSERT_EQ(x > y, a > b);
    ASSERT_EQ(x >= y, a >= b);
  }
}

TEST(Single, KeepsDenormals) {
  const float least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ((Single(least) + Single(least)).get(), 2 * least);
  EXPECT_EQ((Single(0x1p-100f) * Single(0x1p-49f)).get(), least);
  EXPECT_EQ(bits((Single(-0x1p-100f) * Single(0x1p-100f)).get()), 0x80000000u);
}

}  // namespace
}  // namespace pairedhead::reference
