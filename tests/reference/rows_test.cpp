#include "reference/rows.h"

#include <gtest/gtest.h>

namespace pairedhead::reference {
namespace {

TEST(Rows, ComeOutAndGoBackAlongTheOutermostAxis) {
  Tensor<double> x({3, 2, 2});
  for (Index i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  Tensor<double> part = rows_of(x, 1, 2);
  EXPECT_EQ(part.shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(part(0, 0, 0), 4);
  EXPECT_EQ(part(1, 1, 1), 11);
  put_rows(part, 0, x);
  EXPECT_EQ(x(0, 0, 0), 4);
  EXPECT_EQ(x(1, 1, 1), 11);
  EXPECT_EQ(x(2, 0, 0), 8);
}

// A rank that owns nothing of a parameter.
TEST(Rows, MayBeNone) {
  const Tensor<double> x({3, 2});
  EXPECT_EQ(rows_of(x, 3, 0).shape(), (Shape{0, 2}));
}

TEST(Rows, AreWrittenWhereTheyLie) {
  Tensor<double> x({4, 3});
  const RowSpan<double> span(x, 2, 1);
  EXPECT_EQ(span.shape(), (Shape{1, 3}));
  for (Index i = 0; i < span.size(); ++i) span.data()[i] = 5;
  EXPECT_EQ(x(1, 2), 0);
  EXPECT_EQ(x(2, 0), 5);
  EXPECT_EQ(x(2, 2), 5);
  EXPECT_EQ(x(3, 0), 0);
}

TEST(Rows, AreViewedWhereTheyLie) {
  Tensor<double> x({4, 3});
  for (Index i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  const RowView<double> view(x, 1, 2), whole = x;
  EXPECT_EQ(view.shape(), (Shape{2, 3}));
  EXPECT_EQ(view.size(), 6);
  EXPECT_EQ(view.data(), &x(1, 0));
  EXPECT_EQ(whole.shape(), x.shape());
  EXPECT_EQ(whole.data(), x.data());
}

}  // namespace
}  // namespace pairedhead::reference
