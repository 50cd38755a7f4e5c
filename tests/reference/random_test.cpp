#include "reference/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace pairedhead {
namespace {

// The published first outputs of SplitMix64 from state 0.
TEST(Random, IsSplitMix64) {
  std::uint64_t state = 0;
  EXPECT_EQ(splitmix64(state), 0xe220a8397b1dcdafull);
  EXPECT_EQ(splitmix64(state), 0x6e789e6aa1b965f4ull);
  EXPECT_EQ(splitmix64(state), 0x06c45d188009454full);
}

TEST(Random, TheSameSeedGivesTheSameNumbers) {
  Random a(5), b(5), c(6);
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t bits = a.bits();
    EXPECT_EQ(bits, b.bits());
    EXPECT_NE(bits, c.bits());
  }
}

TEST(Random, UniformFillsTheHalfOpenInterval) {
  EXPECT_EQ(uniform(0), 0);
  EXPECT_LT(uniform(~std::uint64_t{0}), 1);
  Random random(1);
  const int draws = 100000;
  double sum = 0;
  for (int i = 0; i < draws; ++i) sum += random.uniform01();
  EXPECT_LE(std::abs(sum / draws - 0.5), 5 * std::sqrt(1.0 / 12 / draws));
}

TEST(Random, IntegerReachesBothEndsAndNoFurther) {
  Random random(2);
  std::set<Index> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.integer(-2, 3));
  EXPECT_EQ(seen, (std::set<Index>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(random.integer(7, 7), 7);
}

TEST(Random, NormalHasUnitVariance) {
  Random random(3);
  const int draws = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < draws; ++i) {
    const double x = random.normal();
    EXPECT_LE(std::abs(x), 6);
    sum += x;
    squares += x * x;
  }
  EXPECT_LE(std::abs(sum / draws), 5 / std::sqrt(draws));
  EXPECT_LE(std::abs(squares / draws - 1), 5 * std::sqrt(2.0 / draws));
}

TEST(Random, AfterSomeDrawsItIsWhatTheyLeave) {
  Random drawn(8);
  const Random source = drawn;
  for (std::uint64_t draws = 0; draws < 50; ++draws) {
    EXPECT_EQ(source.after(draws).bits(), Random(drawn).bits());
    drawn.bits();
  }
  Random normal(8);
  normal.normal();
  EXPECT_EQ(normal.bits(), source.after(Random::draws_of_normal).bits());
}

TEST(Random, StreamsAreSeparateAndLeaveTheirSourceAlone) {
  Random source(4), untouched(4);
  Random first = source.split(1), second = source.split(2), again = source.split(1);
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t bits = first.bits();
    EXPECT_EQ(bits, again.bits());
    EXPECT_NE(bits, second.bits());
    EXPECT_EQ(source.bits(), untouched.bits());
  }
}

}  // namespace
}  // namespace pairedhead
