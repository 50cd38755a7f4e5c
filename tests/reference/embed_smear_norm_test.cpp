#include "reference/embed_smear_norm.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

const std::vector<Index> tokens = {2, 0, 2, 2, 4, 0, 4};
constexpr Index vocabulary = 6, width = 14;

// Gate 1/2 and lambda 2: each token is the sum of its row and the row before, and the norm of equal
// channels keeps their sign alone.
TEST(EmbedSmearNorm, ByHand) {
  Tensor<double> table({3, 12});
  for (Index c = 0; c < 12; ++c) table(0, c) = 1, table(1, c) = -3, table(2, c) = 2;
  const Tensor<double> w({1, 12});
  const Tensor<double> x0 = embed_smear_norm({0, 1, 2, 0}, table, w, 2.0);
  EXPECT_NEAR(x0(0, 5), 1, 1e-6);
  EXPECT_NEAR(x0(1, 5), -1, 1e-6);
  EXPECT_NEAR(x0(2, 5), -1, 1e-6);
  EXPECT_NEAR(x0(3, 5), 1, 1e-6);
}

TEST(EmbedSmearNorm, BackwardIsTheTransposedDerivative) {
  Random random(1);
  const Shape rows = {static_cast<Index>(tokens.size()), width};
  const auto table = normal_tensor({vocabulary, width}, random);
  const auto d_table = normal_tensor({vocabulary, width}, random);
  const auto w = normal_tensor({1, 12}, random), d_w = normal_tensor({1, 12}, random);
  const auto g = normal_tensor(rows, random);
  InnerProduct forwards, backwards;
  forwards.add(g, embed_smear_norm(tokens, dual(table, d_table), dual(w, d_w), Dual(0.7, 0.9)));
  const auto grad =
      embed_smear_norm_backward(tokens, table, w, 0.7, g, Tensor<double>(), Rounding::exact());
  backwards.add(grad.table, d_table);
  backwards.add(grad.w, d_w);
  backwards.add(grad.lam, 0.9);
  EXPECT_LE(disagreement(forwards, backwards), certified_limit);
}

// A tied table keeps what the head has given, and rows that no token names keep that alone.
TEST(EmbedSmearNorm, AddsToTheTiedTablesGradient) {
  Random random(2);
  const auto table = normal_tensor({vocabulary, width}, random);
  const auto before = normal_tensor({vocabulary, width}, random);
  const auto w = normal_tensor({1, 12}, random);
  const auto g = normal_tensor({static_cast<Index>(tokens.size()), width}, random);
  const auto gradient = [&](const Tensor<double>& given) {
    return embed_smear_norm_backward(tokens, table, w, 0.7, g, given, Rounding::exact()).table;
  };
  const auto tied = gradient(before), alone = gradient({});
  for (Index row = 0; row < vocabulary; ++row) {
    for (Index c = 0; c < width; ++c) {
      EXPECT_NEAR(tied(row, c), before(row, c) + alone(row, c), 1e-13);
      if (row % 2 == 1) {
        EXPECT_EQ(tied(row, c), before(row, c));
      }
    }
  }
}

TEST(EmbedSmearNorm, RefusesWhatDoesNotFit) {
  const Tensor<double> table({3, 12}), w({1, 12}), g({2, 12}), narrow({2, 11});
  EXPECT_THROW(embed_smear_norm({0, 3}, table, w, 1.0), InputError);
  EXPECT_THROW(embed_smear_norm({0, 1}, narrow, w, 1.0), InputError);
  const auto backward = [&](const Tensor<double>& grad_x0, const Tensor<double>& before) {
    embed_smear_norm_backward({0, 1}, table, w, 1.0, grad_x0, before, Rounding::exact());
  };
  EXPECT_NO_THROW(backward(g, table));
  EXPECT_THROW(backward(narrow, table), InputError);
  EXPECT_THROW(backward(g, narrow), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
