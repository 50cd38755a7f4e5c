#include "tools/verdict/poison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/tools/fake_component.h"

namespace pairedhead::testing {
namespace {

TEST(Poison, FloatsHoldQuietNans) {
  for (const DType dtype : {DType::bf16, DType::fp32, DType::fp64}) {
    Array array(dtype, {1000});
    poison(array, 1);
    for (Index i = 0; i < array.size(); ++i) {
      ASSERT_TRUE(std::isnan(array.at(i))) << name_of(dtype);
      ASSERT_TRUE(is_poison(array, i, 1));
    }
  }
}

// What hardware makes by itself: payload all zeros or all ones.
TEST(Poison, IsNoNanThatArithmeticMakes) {
  Array array(DType::bf16, {5000});
  poison(array, 9);
  std::set<std::uint16_t> bits(array.as<std::uint16_t>(), array.as<std::uint16_t>() + 5000);
  EXPECT_FALSE(bits.contains(0x7fc0));
  EXPECT_FALSE(bits.contains(0x7fff));
  EXPECT_GT(bits.size(), 40u);
}

TEST(Poison, AWrittenElementIsSeen) {
  Array array(DType::fp32, {8});
  poison(array, 2);
  array.set(3, 0);
  array.as<float>()[5] = std::nanf("");
  EXPECT_FALSE(is_poison(array, 3, 2));
  EXPECT_FALSE(is_poison(array, 5, 2));
  EXPECT_TRUE(is_poison(array, 4, 2));
}

TEST(Poison, DiffersBySeedAndPosition) {
  Array a(DType::int32, {64}), b(DType::int32, {64});
  poison(a, 1);
  poison(b, 2);
  EXPECT_NE(a.bytes, b.bytes);
  EXPECT_NE(a.at(0), a.at(1));
}

TEST(Poison, OutputsAreShapedLikeTheTruth) {
  const Component component = averaging();
  const Values exact = component.reference(averaging_case(), component.inputs(averaging_case(), 1),
                                           Rounding::exact());
  const Arrays outputs = poisoned_outputs(component, exact, 7);
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs.at("grads/x").shape, (Shape{24, 4, 16}));
  EXPECT_TRUE(is_poison(outputs.at("outputs/y"), 11, poison_seed(7, 0)));
  EXPECT_TRUE(is_poison(outputs.at("grads/x"), 11, poison_seed(7, 1)));
  EXPECT_NE(outputs.at("outputs/y").bytes, outputs.at("grads/x").bytes);
}

}  // namespace
}  // namespace pairedhead::testing
