#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/emulated/fp8.h"
#include "gpu/kernels/linear.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

// Products of small integers are exact in fp32 in any order, so the result has one right value.
std::vector<float> integers(std::int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> draw(-4, 4);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& x : values) x = static_cast<float>(draw(generator));
  return values;
}

Bits to_bits(const std::vector<float>& values) {
  Bits bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), emulated::to_bf16);
  return bits;
}

std::vector<std::uint8_t> to_fp8(const std::vector<float>& values, bool e5m2) {
  const Bits bits = to_bits(values);
  std::vector<std::uint8_t> e4m3(bits.size()), wide(bits.size());
  emulated::quantise_fp8(bits.data(), static_cast<std::int64_t>(bits.size()), 1, e4m3.data(),
                         wide.data());
  return e5m2 ? wide : e4m3;
}

// How many elements a matrix of the product spans, its rows and problems with their strides.
struct Span {
  std::int64_t rows, columns, stride, batch_stride;
  std::int64_t size(int batch) const {
    return (batch - 1) * batch_stride + (rows - 1) * stride + columns;
  }
};
Span span(std::int64_t rows, std::int64_t columns, bool transpose, std::int64_t stride,
          std::int64_t batch_stride) {
  if (transpose) std::swap(rows, columns);
  return {rows, columns, stride > 0 ? stride : columns, batch_stride};
}
Span span_a(const Product& p) {
  return span(p.rows, p.depth, p.transpose_a, p.stride_a, p.batch_a);
}
Span span_b(const Product& p) {
  return span(p.depth, p.columns, p.transpose_b, p.stride_b, p.batch_b);
}
Span span_result(const Product& p) {
  return span(p.rows, p.columns, false, p.stride_result, p.batch_result);
}

// What the product leaves in `result`, which holds the addend.
void expect_product(const Product& p, const std::vector<float>& a, const std::vector<float>& b,
                    std::vector<float>& result) {
  const Span at_a = span_a(p), at_b = span_b(p), at_result = span_result(p);
  const auto element = [](const std::vector<float>& x, const Span& at, bool transpose, int problem,
                          std::int64_t i, std::int64_t j) {
    if (transpose) std::swap(i, j);
    return x[static_cast<std::size_t>(problem * at.batch_stride + i * at.stride + j)];
  };
  for (int n = 0; n < p.batch; ++n) {
    for (std::int64_t i = 0; i < p.rows; ++i) {
      for (std::int64_t j = 0; j < p.columns; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < p.depth; ++k) {
          sum +=
              element(a, at_a, p.transpose_a, n, i, k) * element(b, at_b, p.transpose_b, n, k, j);
        }
        const auto place =
            static_cast<std::size_t>(n * at_result.batch_stride + i * at_result.stride + j);
        sum = p.alpha * sum + (p.beta != 0 ? p.beta * result[place] : 0);
        result[place] = p.relu ? std::max(sum, 0.0f) : sum;
      }
    }
  }
}

struct OnDevice {
  Stream stream;
  LinearAlgebra algebra;
  GuardedBuffer a{"a"}, b{"b"}, addend{"addend"}, result{"result"};
};

class CudaLinear : public DeviceFixture {
 protected:
  void SetUp() override {
    DeviceFixture::SetUp();
    if (!IsSkipped()) on_device_.emplace();
  }

  // Enqueues the product of these operands and compares what it leaves, also between the rows;
  // where something is added, once in place and once from another buffer.
  void check(const Product& p, const std::string& what, int shift = 0) {
    check(p, what, shift, true);
    if (p.beta != 0) check(p, what + ", from another buffer", shift, false);
  }

  void check(const Product& p, const std::string& what, int shift, bool in_place) {
    SCOPED_TRACE(what + ": " + std::to_string(p.batch) + " of " + std::to_string(p.rows) + " x " +
                 std::to_string(p.columns) + " x " + std::to_string(p.depth) +
                 (p.transpose_a ? ", a transposed" : "") + (p.transpose_b ? ", b transposed" : "") +
                 (p.result == Product::Result::fp32 ? ", fp32" : "") +
                 (p.beta != 0 ? ", added" : ""));
    auto& [stream, algebra, a, b, addend, result] = *on_device_;
    const auto values_a = integers(span_a(p).size(p.batch), 1);
    const auto values_b = integers(span_b(p).size(p.batch), 2);
    auto expected = integers(span_result(p).size(p.batch), 3);

    const bool fp8 = p.operands != Product::Operands::bf16;
    const auto upload = [&, &stream = stream](GuardedBuffer& buffer,
                                              const std::vector<float>& values, bool e5m2) {
      if (fp8) {
        const auto bytes = to_fp8(values, e5m2);
        buffer.reset(bytes.data(), bytes.size(), stream);
        stream.synchronize();
        return;
      }
      Bits bits = to_bits(values);
      bits.insert(bits.begin(), static_cast<std::size_t>(shift), 0);
      buffer.reset(bits.data(), bits.size() * 2, stream);
      stream.synchronize();
    };
    upload(a, values_a, p.operands == Product::Operands::e5m2_e4m3);
    upload(b, values_b, false);
    const bool wide = p.result == Product::Result::fp32;
    const Bits before = to_bits(expected);
    const void* const bytes = wide ? static_cast<const void*>(expected.data()) : before.data();
    addend.reset(bytes, expected.size() * (wide ? 4 : 2), stream);
    result.reset(bytes, expected.size() * (wide ? 4 : 2), stream);
    stream.synchronize();
    const auto skip = static_cast<std::size_t>(shift) * 2;
    ASSERT_NO_THROW(algebra.multiply(p, a.data() + skip, b.data() + skip,
                                     in_place ? result.data() : addend.data(), result.data(),
                                     stream));
    expect_product(p, values_a, values_b, expected);
    EXPECT_EQ(result.damage(stream), std::nullopt);
    if (wide) {
      std::vector<float> got(expected.size());
      result.download(got.data(), stream);
      EXPECT_EQ(got, expected);
    } else {
      Bits got(expected.size());
      result.download(got.data(), stream);
      EXPECT_EQ(got, to_bits(expected));
    }
  }

  std::optional<OnDevice> on_device_;
};

TEST_F(CudaLinear, MultipliesMatricesOfAnySize) {
  const std::vector<std::int64_t> sizes = {1, 6, 8, 9, 24, 100};
  for (const std::int64_t rows : sizes) {
    for (const std::int64_t columns : sizes) {
      for (const std::int64_t depth : sizes) {
        for (const unsigned flags : {0u, 1u, 2u, 3u}) {
          const bool added = (rows + columns + depth + flags) % 2 == 0;
          const bool wide = (rows + columns + depth + flags / 2) % 2 == 0;
          check({.rows = rows,
                 .columns = columns,
                 .depth = depth,
                 .transpose_a = (flags & 1u) != 0,
                 .transpose_b = (flags & 2u) != 0,
                 .result = wide ? Product::Result::fp32 : Product::Result::bf16,
                 .beta = added ? 1.0f : 0.0f},
                "any size");
        }
      }
    }
  }
}

TEST_F(CudaLinear, MultipliesWithStridesAndOddAddresses) {
  for (const int shift : {0, 1, 4}) {
    for (const Product::Result result : {Product::Result::bf16, Product::Result::fp32}) {
      check({.rows = 37,
             .columns = 48,
             .depth = 40,
             .transpose_b = true,
             .result = result,
             .alpha = 0.5f,
             .beta = 2,
             .stride_a = 104,
             .stride_b = 51,
             .stride_result = 144},
            "strides", shift);
    }
  }
}

TEST_F(CudaLinear, MultipliesBatchesOfOddMatrices) {
  for (std::int64_t rows = 5; rows <= 9; ++rows) {
    for (std::int64_t depth = 5; depth <= 9; ++depth) {
      for (const bool symmetric : {false, true}) {
        const std::int64_t columns = symmetric ? rows : depth + 1;
        check({.rows = rows,
               .columns = columns,
               .depth = depth,
               .transpose_b = symmetric,
               .alpha = 0.5f,
               .beta = symmetric ? 0.0f : 1.0f,
               .batch = 3,
               .batch_a = rows * depth + 1,
               .batch_b = columns * depth,
               .batch_result = rows * columns},
              "batches");
      }
    }
  }
}

// Few results of many terms: where the depth is split, its parts are not rounded one by one.
TEST_F(CudaLinear, RoundsOnce) {
  for (const std::int64_t width : {8, 16, 64}) {
    check({.rows = width, .columns = width, .depth = 20000, .transpose_a = true}, "deep");
  }
}

TEST_F(CudaLinear, ReplacesNegativeElementsByZero) {
  for (const std::int64_t width : {8, 104}) {
    check({.rows = 50, .columns = width, .depth = 24, .transpose_b = true, .relu = true}, "relu");
  }
}

TEST_F(CudaLinear, MultipliesFp8) {
  for (const auto operands : {Product::Operands::e4m3, Product::Operands::e5m2_e4m3}) {
    for (const Product::Result result : {Product::Result::bf16, Product::Result::fp32}) {
      for (const bool fast : {false, true}) {
        for (const std::int64_t rows : {16, 48, 208}) {
          check({.rows = rows,
                 .columns = 64,
                 .depth = 96,
                 .transpose_b = true,
                 .operands = operands,
                 .result = result,
                 .alpha = 0.125f,
                 .fast_accumulation = fast},
                fast ? "fp8, fast" : "fp8");
        }
      }
    }
  }
}

TEST_F(CudaLinear, RefusesWhatFp8CannotDo) {
  const Product good = {.rows = 16,
                        .columns = 16,
                        .depth = 16,
                        .transpose_b = true,
                        .operands = Product::Operands::e4m3};
  for (const auto& spoil :
       {+[](Product& p) { p.rows = 8; }, +[](Product& p) { p.depth = 24; },
        +[](Product& p) { p.transpose_b = false; }, +[](Product& p) { p.transpose_a = true; }}) {
    Product product = good;
    spoil(product);
    EXPECT_THROW(on_device_->algebra.multiply(product, nullptr, nullptr, nullptr, nullptr,
                                              on_device_->stream),
                 std::invalid_argument);
  }
}

// The record's shapes on random data, under other work in between and from another object.
TEST_F(CudaLinear, GivesTheSameBitsAgain) {
  auto& [stream, algebra, a, b, addend, result] = *on_device_;
  constexpr std::int64_t tokens = 4096, width = 768, hidden = 3072;
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  const auto upload = [&, &stream = stream](GuardedBuffer& buffer, std::int64_t size) {
    Bits bits(static_cast<std::size_t>(size));
    for (auto& x : bits) x = emulated::to_bf16(normal(generator));
    buffer.reset(bits.data(), bits.size() * 2, stream);
    stream.synchronize();
  };
  upload(a, tokens * hidden);
  upload(b, tokens * hidden);
  const Product products[] = {
      {.rows = tokens, .columns = hidden, .depth = width, .transpose_b = true},
      {.rows = tokens, .columns = width, .depth = hidden},
      {.rows = hidden, .columns = width, .depth = tokens, .transpose_a = true}};
  for (const Product& product : products) {
    Bits first, bits(static_cast<std::size_t>(product.rows * product.columns));
    result.reset(bits.size() * 2, stream);
    LinearAlgebra other;
    for (int repeat = 0; repeat < 20; ++repeat) {
      LinearAlgebra& used = repeat % 4 == 3 ? other : algebra;
      used.multiply(product, a.data(), b.data(), nullptr, result.data(), stream);
      result.download(bits.data(), stream);
      if (repeat == 0) first = bits;
      ASSERT_EQ(bits, first) << "repeat " << repeat;
      ASSERT_TRUE(std::isfinite(emulated::from_bf16(bits.back())));
    }
  }
}

}  // namespace
}  // namespace pairedhead::gpu
