#include "reference/interleave.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

// Every element carries its own (token, head, channel).
Tensor<double> labelled(Index tokens, Index heads, Index head_dim) {
  Tensor<double> x({tokens, heads, head_dim});
  for (Index t = 0; t < tokens; ++t) {
    for (Index h = 0; h < heads; ++h) {
      for (Index d = 0; d < head_dim; ++d) {
        x(t, h, d) = static_cast<double>(t * 10000 + h * 1000 + d);
      }
    }
  }
  return x;
}

TEST(Interleave, StridedPutsTheLaterHalfOfTheHeadsInOddRows) {  // SPEC §0.1, §3.7
  const Tensor<double> x = labelled(3, 6, 4);
  const Tensor<double> flat = interleave(x, Pairing::strided);
  ASSERT_EQ(flat.shape(), (Shape{6, 3, 4}));
  for (Index row = 0; row < 6; ++row) {
    for (Index slot = 0; slot < 3; ++slot) {
      for (Index d = 0; d < 4; ++d) {
        EXPECT_EQ(flat(row, slot, d), x(row / 2, 3 * (row % 2) + slot, d));
      }
    }
  }
}

TEST(Interleave, AdjacentPutsOddHeadsInOddRows) {  // SPEC §15
  const Tensor<double> x = labelled(2, 6, 4);
  const Tensor<double> flat = interleave(x, Pairing::adjacent);
  for (Index row = 0; row < 4; ++row) {
    for (Index slot = 0; slot < 3; ++slot) {
      EXPECT_EQ(flat(row, slot, 1), x(row / 2, 2 * slot + row % 2, 1));
    }
  }
}

TEST(Interleave, StridedKeepsTheMemoryOrder) {
  const Tensor<double> x = labelled(5, 4, 8);
  EXPECT_TRUE(std::ranges::equal(interleave(x, Pairing::strided).values(), x.values()));
}

TEST(Interleave, ViewHasTheStridesOfTheSpecification) {  // SPEC §15
  const PairedView strided = paired_view(6, 128, Pairing::strided);
  EXPECT_EQ(strided.stride_token, 768);
  EXPECT_EQ(strided.stride_row, 384);
  EXPECT_EQ(strided.stride_slot, 128);
  const PairedView adjacent = paired_view(6, 128, Pairing::adjacent);
  EXPECT_EQ(adjacent.stride_token, 768);
  EXPECT_EQ(adjacent.stride_row, 128);
  EXPECT_EQ(adjacent.stride_slot, 256);
  // Head 4 of token 7 is row 1 of slot 1 (strided), row 0 of slot 2 (adjacent).
  EXPECT_EQ(strided.offset(15, 1), 7 * 768 + 4 * 128);
  EXPECT_EQ(adjacent.offset(14, 2), 7 * 768 + 4 * 128);
}

TEST(Interleave, DeinterleaveIsTheInverse) {
  const Tensor<double> x = labelled(3, 6, 2);
  for (const Pairing pairing : {Pairing::strided, Pairing::adjacent}) {
    const Tensor<double> back = deinterleave(interleave(x, pairing), pairing);
    EXPECT_EQ(back.shape(), x.shape());
    EXPECT_TRUE(std::ranges::equal(back.values(), x.values()));
  }
}

TEST(Interleave, RefusesWhatCannotBePaired) {
  EXPECT_THROW(interleave(Tensor<double>({2, 3, 4}), Pairing::strided), InputError);
  EXPECT_THROW(interleave(Tensor<double>({2, 4}), Pairing::strided), InputError);
  EXPECT_THROW(interleave(Tensor<double>({2, 4, 4}), Pairing::none), InputError);
  EXPECT_THROW(deinterleave(Tensor<double>({3, 2, 4}), Pairing::strided), InputError);
  EXPECT_THROW(paired_view(3, 128, Pairing::strided), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
