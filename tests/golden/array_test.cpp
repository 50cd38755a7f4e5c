#include "golden/array.h"

#include <gtest/gtest.h>

#include <bit>

#include "reference/random.h"

namespace pairedhead {
namespace {

TEST(Array, BecomesTheTensorOfItsElements) {
  for (const DType dtype : {DType::bf16, DType::fp32, DType::fp64, DType::int32, DType::uint16,
                            DType::e4m3, DType::e5m2}) {
    Array array(dtype, {3, 500});
    Random random(1);
    for (std::byte& byte : array.bytes) byte = static_cast<std::byte>(random.integer(0, 255));
    const Tensor<double> tensor = to_tensor(array);
    EXPECT_EQ(tensor.shape(), array.shape);
    for (Index i = 0; i < array.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(tensor[i]), std::bit_cast<std::uint64_t>(array.at(i)))
          << name_of(dtype) << " " << i;
    }
  }
}

}  // namespace
}  // namespace pairedhead
