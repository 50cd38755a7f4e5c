#include "reference/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "reference/scalar.h"

namespace pairedhead {
namespace {

TEST(Tensor, IsRowMajorInnermostLast) {
  Tensor<double> x({2, 3, 4});
  for (Index i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  EXPECT_EQ(x(1, 2, 3), 23);
  EXPECT_EQ(x(0, 1, 0), 4);
  EXPECT_EQ(x(1, 0, 0), 12);
  Tensor<double> matrix({2, 5}, 7.0);
  matrix(1, 0) = 8;
  EXPECT_EQ(matrix[5], 8);
  EXPECT_EQ(matrix[4], 7);
  EXPECT_EQ(&matrix(0, 1), matrix.data() + 1);
}

TEST(Tensor, StartsAtZero) {
  const Tensor<double> x({3, 2});
  for (const double value : x.values()) EXPECT_EQ(value, 0);
  EXPECT_EQ(Tensor<double>({0, 4}).size(), 0);
}

// Where assertions are checked, what is not written yet is NaN, so that a forgotten element shows.
TEST(Tensor, UnwrittenHasTheShapeAndInADebugBuildNaN) {
  const auto x = Tensor<double>::unwritten({2, 3});
  EXPECT_EQ(x.shape(), (Shape{2, 3}));
  EXPECT_EQ(x.size(), 6);
#ifndef NDEBUG
  for (const double value : x.values()) EXPECT_NE(value, value);
#endif
}

// Of every size; and none reaches into another.
template <class Scalar>
void begins_on_a_cache_line() {
  std::vector<Tensor<Scalar>> kept;
  for (Index size = 1; size < 40; ++size) {
    kept.emplace_back(Shape{size}, Scalar(static_cast<double>(size)));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(kept.back().data()) % cache_line, 0U) << size;
  }
  for (const Tensor<Scalar>& x : kept) {
    for (const Scalar& value : x.values())
      EXPECT_TRUE(value == Scalar(static_cast<double>(x.size())));
  }
}

TEST(Tensor, BeginsOnACacheLine) {
  begins_on_a_cache_line<double>();
  begins_on_a_cache_line<Float128>();
}

TEST(Tensor, RequireShapeSaysWhatWhereExpectedAndGot) {
  const Tensor<double> x({2, 3});
  EXPECT_NO_THROW(require_shape("q", x, {2, 3}));
  try {
    require_shape("q", x, {2, 4});
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "q: expected shape [2, 4], got [2, 3]");
  }
}

TEST(Tensor, RequireHeadsWantsThreeAxesWithElements) {
  EXPECT_NO_THROW(require_heads("q", Tensor<double>({2, 3, 4})));
  EXPECT_THROW(require_heads("q", Tensor<double>({2, 3})), InputError);
  EXPECT_THROW(require_heads("q", Tensor<double>({0, 3, 4})), InputError);
}

TEST(Tensor, RequireMatrixWantsTwoAxesWithElements) {
  EXPECT_NO_THROW(require_matrix("w", Tensor<double>({1, 2})));
  EXPECT_THROW(require_matrix("w", Tensor<double>({1, 2, 3})), InputError);
  EXPECT_THROW(require_matrix("w", Tensor<double>({0, 2})), InputError);
}

TEST(Tensor, ReshapedKeepsTheOrderOfValues) {
  Tensor<double> x({2, 3});
  for (Index i = 0; i < 6; ++i) x[i] = static_cast<double>(i);
  const Tensor<double> y = x.reshaped({3, 1, 2});
  EXPECT_EQ(y.shape(), (Shape{3, 1, 2}));
  EXPECT_EQ(y(2, 0, 1), 5);
  EXPECT_EQ(x.shape(), (Shape{2, 3}));
  EXPECT_EQ(std::move(x).reshaped({6})[4], 4);
  EXPECT_THROW(y.reshaped({5}), InputError);
}

TEST(Tensor, CastConvertsElements) {
  const auto x = cast<Magnitude>(Tensor<double>({2}, -3.0));
  EXPECT_EQ(x[1].value, -3);
  EXPECT_EQ(x[1].magnitude, 3);
}

}  // namespace
}  // namespace pairedhead
