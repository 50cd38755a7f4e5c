#include "reference/matrix_product.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

Tensor<double> transposed(const Tensor<double>& x) {
  Tensor<double> t({x.dim(1), x.dim(0)});
  for (Index i = 0; i < x.dim(0); ++i) {
    for (Index j = 0; j < x.dim(1); ++j) t(j, i) = x(i, j);
  }
  return t;
}

TEST(MatrixProduct, ByHand) {
  Tensor<double> a({1, 2}), b({2, 2});
  a[0] = 2, a[1] = 3, b(0, 0) = 5, b(0, 1) = 7, b(1, 0) = 11, b(1, 1) = 13;
  const Tensor<double> ab = times(a, b), abt = times_transposed(a, b);
  EXPECT_EQ(ab(0, 0), 2 * 5 + 3 * 11);
  EXPECT_EQ(ab(0, 1), 2 * 7 + 3 * 13);
  EXPECT_EQ(abt(0, 0), 2 * 5 + 3 * 7);
  EXPECT_EQ(abt(0, 1), 2 * 11 + 3 * 13);
  EXPECT_EQ(transposed_times(a, ab)(1, 0), 3 * ab(0, 0));
}

// Shapes on both sides of the blocks of 128 rows or columns. A sum of 90 products, in whatever
// order.
TEST(MatrixProduct, ThreeFormsAgreeWithFloat128) {
  Random random(1);
  for (const auto& [rows, columns] :
       {std::pair<Index, Index>{1, 33}, {127, 33}, {300, 33}, {1, 300}, {40, 129}}) {
    const auto a = normal_tensor({rows, 90}, random), b = normal_tensor({90, columns}, random);
    const auto accurate = times(cast<Float128>(a), cast<Float128>(b));
    const auto terms = times(cast<Magnitude>(a), cast<Magnitude>(b));
    for (const Tensor<double>& product :
         {times(a, b), times_transposed(a, transposed(b)), transposed_times(transposed(a), b)}) {
      EXPECT_LE(worst_roundoffs(product, accurate, terms), std::sqrt(2 * 90));
    }
  }
}

TEST(MatrixProduct, DoesNotDependOnTheThreads) {
  Random random(2);
  const int threads = omp_get_max_threads();
  for (const auto& [rows, columns] : {std::pair<Index, Index>{520, 65}, {65, 520}}) {
    const auto a = normal_tensor({rows, 70}, random), b = normal_tensor({70, columns}, random);
    omp_set_num_threads(1);
    const Tensor<double> alone = times(a, b);
    omp_set_num_threads(3);
    const Tensor<double> together = times(a, b);
    omp_set_num_threads(threads);
    for (Index i = 0; i < alone.size(); ++i) ASSERT_EQ(alone[i], together[i]);
  }
}

TEST(MatrixProduct, RefusesFactorsThatDoNotFit) {
  const Tensor<double> a({2, 3}), b({2, 3});
  EXPECT_THROW(times(a, b), InputError);
  EXPECT_THROW(times_transposed(a, Tensor<double>({3, 2})), InputError);
  EXPECT_THROW(transposed_times(a, Tensor<double>({3, 2})), InputError);
  EXPECT_THROW(times(a, Tensor<double>({3, 0})), InputError);
  EXPECT_THROW(times(a, Tensor<double>({3})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
