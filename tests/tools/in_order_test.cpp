#include "tools/verify/in_order.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

namespace pairedhead {
namespace {

TEST(InOrder, TakesEveryItemInOrderWhateverTheThreads) {
  for (const int threads : {0, 1, 2, 7}) {
    std::vector<std::size_t> taken;
    in_order<std::size_t>(
        200, threads, [](std::size_t n) { return n * n; },
        [&](std::size_t n, std::size_t item) {
          EXPECT_EQ(item, n * n);
          taken.push_back(n);
          return true;
        });
    ASSERT_EQ(taken.size(), 200u);
    for (std::size_t n = 0; n < taken.size(); ++n) EXPECT_EQ(taken[n], n);
  }
}

TEST(InOrder, StopsWhenToldTo) {
  for (const int threads : {1, 3}) {
    std::atomic<int> made = 0;
    int taken = 0;
    in_order<int>(
        100000, threads, [&](std::size_t) { return ++made; },
        [&](std::size_t n, int) {
          ++taken;
          return n < 9;
        });
    EXPECT_EQ(taken, 10);
    EXPECT_LE(made, 10 + 9 * threads);
  }
}

TEST(InOrder, TheFirstExceptionInOrderComesOut) {
  for (const int threads : {1, 4}) {
    int taken = 0;
    try {
      in_order<int>(
          50, threads,
          [](std::size_t n) -> int {
            if (n >= 20) throw std::runtime_error(std::to_string(n));
            return 0;
          },
          [&](std::size_t, int) {
            ++taken;
            return true;
          });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "20");
    }
    EXPECT_EQ(taken, 20);
  }
}

TEST(InOrder, AnExceptionOfTheTakerEndsIt) {
  EXPECT_THROW(in_order<int>(
                   50, 3, [](std::size_t) { return 0; },
                   [](std::size_t n, int) {
                     if (n == 5) throw std::runtime_error("full");
                     return true;
                   }),
               std::runtime_error);
}

TEST(InOrder, NothingIsNothing) {
  in_order<int>(
      0, 2, [](std::size_t) -> int { throw std::runtime_error("made"); },
      [](std::size_t, int) -> bool { throw std::runtime_error("taken"); });
}

}  // namespace
}  // namespace pairedhead
