#include <algorithm>
#include <random>
#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/mlp.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

Bits integers(std::int64_t size, int largest, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> draw(-largest, largest);
  Bits bits(static_cast<std::size_t>(size));
  for (auto& x : bits) x = emulated::to_bf16(static_cast<float>(draw(generator)));
  return bits;
}

class CudaMlp : public DeviceFixture {};

// Small integers: everything before the residual is exact. The sum is rounded once; in place
// cuBLASLt may round the product before it adds.
TEST_F(CudaMlp, AddsTheResidual) {
  const Stream stream;
  LinearAlgebra algebra;
  constexpr MlpShape shape = {37, 16, 24};
  const Bits a = integers(shape.tokens * shape.width, 1, 1);
  const Bits c_fc = integers(shape.hidden * shape.width, 1, 2);
  const Bits c_proj = integers(shape.hidden * shape.width, 3, 3);
  const Bits residual = integers(shape.tokens * shape.width, 200, 4);
  Bits expected = residual, product_rounded = residual;
  const auto value = [](const Bits& bits, std::int64_t row, std::int64_t columns,
                        std::int64_t column) {
    return emulated::from_bf16(bits[static_cast<std::size_t>(row * columns + column)]);
  };
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    std::vector<float> hidden;
    for (std::int64_t j = 0; j < shape.hidden; ++j) {
      float p = 0;
      for (std::int64_t k = 0; k < shape.width; ++k) {
        p += value(a, t, shape.width, k) * value(c_fc, j, shape.width, k);
      }
      hidden.push_back(p > 0 ? p * p : 0);
    }
    for (std::int64_t n = 0; n < shape.width; ++n) {
      float product = 0;
      for (std::int64_t j = 0; j < shape.hidden; ++j) {
        product += hidden[static_cast<std::size_t>(j)] * value(c_proj, j, shape.width, n);
      }
      const auto place = static_cast<std::size_t>(t * shape.width + n);
      const float added = value(residual, t, shape.width, n);
      expected[place] = emulated::to_bf16(added + product);
      product_rounded[place] = emulated::to_bf16(added + emulated::through_bf16(product));
    }
  }

  const auto on_a = upload(a, stream), on_fc = upload(c_fc, stream);
  const auto on_proj = upload(c_proj, stream), in_place = upload(residual, stream);
  const auto apart = upload(Bits(residual.size(), 0x7fc1), stream);
  const Bits poison(static_cast<std::size_t>(shape.tokens * shape.hidden), 0x7fc1);
  const auto positive = upload(poison, stream), squared = upload(poison, stream);
  for (const GuardedBuffer* out : {&apart, &in_place}) {
    mlp_forward(algebra, shape, bf16(on_a), bf16(on_fc), bf16(on_proj), bf16(in_place), bf16(*out),
                bf16(positive), bf16(squared), stream);
    const Bits got = download(*out, stream);
    const bool rounded_before = out == &in_place && got == product_rounded;
    EXPECT_TRUE(rounded_before || got == expected) << (out == &apart ? "apart" : "in place");
  }
}

TEST_F(CudaMlp, RefusesWhatTheKernelsCannotDo) {
  LinearAlgebra algebra;
  for (const MlpShape& bad : {MlpShape{0, 16, 16}, MlpShape{4, 16, 20}}) {
    EXPECT_THROW(mlp_forward(algebra, bad, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                             nullptr, nullptr),
                 std::invalid_argument);
  }
}

}  // namespace
}  // namespace pairedhead::gpu
