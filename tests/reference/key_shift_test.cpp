#include "reference/key_shift.h"

#include <gtest/gtest.h>

#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

TEST(KeyShift, ChannelsOfTheRecord) {  // SPEC §3.6.4: [32, 64) and [96, 128)
  for (Index d = 0; d < 128; ++d) {
    EXPECT_EQ(is_shifted_channel(d, 128), (d >= 32 && d < 64) || d >= 96) << "channel " << d;
  }
  // SPEC §15: [D/4, D/2) and [3D/4, D)
  for (Index d = 0; d < 8; ++d) {
    EXPECT_EQ(is_shifted_channel(d, 8), d == 2 || d == 3 || d == 6 || d == 7);
  }
}

TEST(KeyShift, FirstRowAppearsTwice) {
  Random random(1);
  const Tensor<double> k = normal_tensor({4, 3, 16}, random);
  const Tensor<double> shifted = key_shift(k);
  for (Index t = 0; t < 4; ++t) {
    for (Index h = 0; h < 3; ++h) {
      for (Index d = 0; d < 16; ++d) {
        const Index source = is_shifted_channel(d, 16) ? std::max<Index>(t - 1, 0) : t;
        EXPECT_EQ(shifted(t, h, d), k(source, h, d));
      }
    }
  }
}

TEST(KeyShift, AdjointOfTheSpecification) {  // SPEC §5
  Random random(2);
  const Tensor<double> g = normal_tensor({4, 1, 8}, random);
  const Tensor<double> grad = key_shift_backward(g);
  EXPECT_EQ(grad(0, 0, 2), g(0, 0, 2) + g(1, 0, 2));
  EXPECT_EQ(grad(1, 0, 2), g(2, 0, 2));
  EXPECT_EQ(grad(2, 0, 2), g(3, 0, 2));
  EXPECT_EQ(grad(3, 0, 2), 0);
  for (Index t = 0; t < 4; ++t) EXPECT_EQ(grad(t, 0, 1), g(t, 0, 1));
}

TEST(KeyShift, OneTokenIsLeftAlone) {
  Random random(3);
  const Tensor<double> k = normal_tensor({1, 2, 8}, random);
  EXPECT_TRUE(std::ranges::equal(key_shift(k).values(), k.values()));
  EXPECT_TRUE(std::ranges::equal(key_shift_backward(k).values(), k.values()));
}

TEST(KeyShift, BackwardIsTheTransposedDerivative) {
  Random random(4);
  for (const Index tokens : {1, 2, 3, 9}) {
    const Shape shape = {tokens, 3, 24};
    const Tensor<double> k = normal_tensor(shape, random), dk = normal_tensor(shape, random);
    const Tensor<double> g = normal_tensor(shape, random);
    InnerProduct forwards, backwards;
    forwards.add(g, key_shift(dual(k, dk)));
    backwards.add(key_shift_backward(g), dk);
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

TEST(KeyShift, RefusesWidthsThatAreNoMultipleOfEight) {
  EXPECT_THROW(key_shift(Tensor<double>({2, 2, 12})), InputError);
  EXPECT_THROW(key_shift_backward(Tensor<double>({2, 2, 12})), InputError);
  EXPECT_THROW(key_shift(Tensor<double>({2, 16})), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
