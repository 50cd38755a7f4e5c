#include "reference/dot.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// Small whole numbers are added exactly in any order: none is lost, none counts twice.
TEST(Dot, TakesEveryTermOnce) {
  for (Index count = 0; count <= 40; ++count) {
    Tensor<double> a({count}), b({count});
    double wanted = 0;
    for (Index i = 0; i < count; ++i) {
      a[i] = static_cast<double>(i + 1);
      b[i] = static_cast<double>(2 * i - 7);
      wanted += a[i] * b[i];
    }
    EXPECT_EQ(dot(a, b), wanted) << count;
    EXPECT_EQ(dot(a.data(), b.data(), count / 2) +
                  dot(a.data() + count / 2, b.data() + count / 2, count - count / 2),
              wanted)
        << count;
  }
}

// The order of the terms is part of the definition: eight sums, then these. Products are exact
// here, so that it makes no difference whether one is rounded before it is added; sums are not.
TEST(Dot, AddsEightPartialSumsInOneOrder) {
  Random random(1);
  int told_apart = 0;
  for (int trial = 0; trial < 50; ++trial) {
    Tensor<double> a({19}), b({19});
    for (Index i = 0; i < a.size(); ++i) {
      a[i] = static_cast<double>(random.integer(1, 1 << 26));
      b[i] = std::ldexp(static_cast<double>(random.integer(-1 << 26, 1 << 26)),
                        static_cast<int>(random.integer(0, 3)));
    }
    double sums[8] = {}, in_one = 0;
    for (Index i = 0; i < a.size(); ++i) {
      sums[i < 16 ? i % 8 : 0] += a[i] * b[i];
      in_one += a[i] * b[i];
    }
    const double wanted =
        ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    EXPECT_EQ(dot(a, b), wanted) << trial;
    told_apart += wanted != in_one ? 1 : 0;
  }
  EXPECT_GT(told_apart, 10);
}

TEST(Dot, OfTensorsWantsOneShape) {
  EXPECT_THROW(dot(Tensor<double>({3}), Tensor<double>({4})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
