#include "reference/embedding.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

Tensor<double> numbered(const Shape& shape) {
  Tensor<double> tensor(shape);
  for (Index i = 0; i < tensor.size(); ++i) tensor[i] = static_cast<double>(i);
  return tensor;
}

TEST(Embedding, ByHand) {
  const std::vector<Index> tokens = {2, 0, 2};
  const Tensor<double> e = embedding(tokens, numbered({3, 2}));
  const double rows[] = {4, 5, 0, 1, 4, 5};
  for (Index i = 0; i < 6; ++i) EXPECT_EQ(e[i], rows[i]);
  const Tensor<double> grad = embedding_backward(tokens, numbered({3, 2}), 3);
  const double sums[] = {2, 3, 0, 0, 0 + 4, 1 + 5};  // row 1 is not named, row 2 twice
  for (Index i = 0; i < 6; ++i) EXPECT_EQ(grad[i], sums[i]);
}

TEST(Embedding, GradientIsAddedToWhatTheTableHolds) {
  Tensor<double> grad({3, 2}, 10.0);
  add_embedding_gradient({1, 1}, Tensor<double>({2, 2}, 1.0), grad);
  EXPECT_EQ(grad(0, 0), 10);
  EXPECT_EQ(grad(1, 1), 12);
  EXPECT_EQ(grad(2, 0), 10);
}

TEST(Embedding, BackwardIsTheTransposedDerivative) {
  Random random(1);
  std::vector<Index> tokens(40);
  for (Index& token : tokens) token = random.integer(0, 9);
  const auto table = normal_tensor({10, 6}, random), moved = normal_tensor({10, 6}, random);
  const auto g = normal_tensor({40, 6}, random);
  InnerProduct forwards, backwards;
  forwards.add(g, embedding(tokens, dual(table, moved)));
  backwards.add(embedding_backward(tokens, g, 10), moved);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

TEST(Embedding, DoubleIsAsGoodAsItsRoundingsAllow) {  // sums of 40
  Random random(2);
  const std::vector<Index> tokens(40, 1);
  const auto g = normal_tensor({40, 6}, random);
  EXPECT_LE(worst_roundoffs(embedding_backward(tokens, g, 2),
                            embedding_backward(tokens, cast<Float128>(g), 2),
                            embedding_backward(tokens, cast<Magnitude>(g), 2)),
            std::sqrt(40));
}

TEST(ValueEmbedding, ReadsThreeTablesInTheirOrder) {
  const std::vector<Index> tokens = {1, 0};
  const ThreeTensors<double> tables = {Tensor<double>({2, 3}, 1.0), Tensor<double>({2, 3}, 2.0),
                                       Tensor<double>({2, 3}, 3.0)};
  const auto ve = value_embedding(tokens, tables);
  const auto grad = value_embedding_backward(tokens, ve, 2);
  for (std::size_t n = 0; n < 3; ++n) {
    EXPECT_EQ(ve[n].shape(), (Shape{2, 3}));
    EXPECT_EQ(ve[n](1, 2), static_cast<double>(n + 1));
    EXPECT_EQ(grad[n](1, 2), static_cast<double>(n + 1));
  }
}

TEST(Embedding, RefusesTokensOutsideTheTable) {
  const Tensor<double> table({3, 2}), g({1, 2});
  for (const Index token : {Index{-1}, Index{3}}) {
    EXPECT_THROW(embedding({token}, table), InputError);
    EXPECT_THROW(embedding_backward({token}, g, 3), InputError);
  }
  EXPECT_THROW(embedding({}, table), InputError);
  EXPECT_THROW(embedding_backward({0, 1}, g, 3), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
