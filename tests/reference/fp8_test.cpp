#include "reference/fp8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pairedhead {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Row {
  double value;
  std::uint8_t code;
  double stored;
};

void expect_rows(DType format, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    EXPECT_EQ(to_fp8_bits(format, row.value), row.code) << row.value;
    EXPECT_EQ(from_fp8_bits(format, row.code), row.stored) << row.value;
    EXPECT_EQ(to_fp8_bits(format, -row.value), row.code | 0x80) << -row.value;
    EXPECT_EQ(from_fp8_bits(format, row.code | 0x80), -row.stored) << -row.value;
  }
}

TEST(Fp8, E4m3ByHand) {
  expect_rows(DType::e4m3, {{0, 0x00, 0},
                            {1, 0x38, 1},
                            {1.0625, 0x38, 1},     // half way to 1.125: to the even mantissa
                            {1.1875, 0x3a, 1.25},  // half way from 1.125 to 1.25
                            {0.3, 0x2a, 0.3125},
                            {0x1p-9, 0x01, 0x1p-9},  // the smallest
                            {0x1p-10, 0x00, 0},      // half of it
                            {0x1.8p-9, 0x02, 0x1p-8},
                            {0x1.fp-7, 0x08, 0x1p-6},  // rounds up into the normals
                            {448, 0x7e, 448},
                            {464, 0x7e, 448},
                            {1e30, 0x7e, 448},
                            {infinity, 0x7e, 448}});
}

TEST(Fp8, E5m2ByHand) {
  expect_rows(DType::e5m2, {{0, 0x00, 0},
                            {1, 0x3c, 1},
                            {1.125, 0x3c, 1},
                            {1.375, 0x3e, 1.5},
                            {0x1p-16, 0x01, 0x1p-16},
                            {0x1p-17, 0x00, 0},
                            {0x1.cp-15, 0x04, 0x1p-14},
                            {57344, 0x7b, 57344},
                            {61440, 0x7b, 57344},
                            {infinity, 0x7b, 57344}});
}

TEST(Fp8, NanHasOneCode) {
  for (const DType format : {DType::e4m3, DType::e5m2}) {
    EXPECT_EQ(to_fp8_bits(format, std::nan("")), 0x7f);
    EXPECT_EQ(to_fp8_bits(format, -std::nan("")), 0x7f);
    EXPECT_TRUE(std::isnan(from_fp8_bits(format, 0x7f)));
    EXPECT_TRUE(std::isnan(from_fp8_bits(format, 0xff)));
  }
}

TEST(Fp8, EveryFiniteCodeComesBack) {
  for (const DType format : {DType::e4m3, DType::e5m2}) {
    int finite = 0;
    for (int code = 0; code < 256; ++code) {
      const double value = from_fp8_bits(format, static_cast<std::uint8_t>(code));
      if (!std::isfinite(value)) continue;
      ++finite;
      EXPECT_EQ(to_fp8_bits(format, value), code);
    }
    EXPECT_EQ(finite, format == DType::e4m3 ? 254 : 248);
  }
  EXPECT_EQ(from_fp8_bits(DType::e5m2, 0x7c), infinity);
}

// Every bf16 goes to a code none is nearer than; of two as near, to the even one.
TEST(Fp8, EveryBf16GoesToTheNearest) {
  for (const DType format : {DType::e4m3, DType::e5m2}) {
    const int largest = format == DType::e4m3 ? 0x7e : 0x7b;
    for (int bits = 0; bits < 0x7f80; ++bits) {
      const double value = from_bf16_bits(static_cast<std::uint16_t>(bits));
      const int code = to_fp8_bits(format, value);
      ASSERT_LE(code, largest);
      const auto distance = [&](int other) {
        return std::abs(from_fp8_bits(format, static_cast<std::uint8_t>(other)) - value);
      };
      for (const int other : {code - 1, code + 1}) {
        if (other < 0 || other > largest) continue;
        ASSERT_LE(distance(code), distance(other)) << value;
        if (distance(code) == distance(other) && value <= 57344) {
          ASSERT_EQ(code % 2, 0) << value;
        }
      }
    }
  }
}

TEST(Fp8, TheScaleDividesInFp32) {  // SPEC §3.8, §13.4
  using namespace reference;
  EXPECT_EQ(fp8_activation_scale, 0.223214286f);
  EXPECT_EQ(fp8_weight_scale, 0.00357142857f);
  EXPECT_EQ(fp8_gradient_scale, 0.00167410714f);
  Tensor<double> x({3});
  x[0] = std::sqrt(768.0);  // the largest activation, SPEC §3.8: 124
  x[1] = 1.6;
  x[2] = 0x1p-16 * static_cast<double>(fp8_gradient_scale);
  EXPECT_EQ(quantise_fp8(x, fp8_activation_scale, DType::e4m3)[0], 128);
  EXPECT_EQ(quantise_fp8(x, fp8_weight_scale, DType::e4m3)[1], 448);
  EXPECT_EQ(quantise_fp8(x, fp8_gradient_scale, DType::e5m2)[2], 0x1p-16);
  EXPECT_THROW(quantise_fp8(x, 1, DType::bf16), InputError);
}

}  // namespace
}  // namespace pairedhead
