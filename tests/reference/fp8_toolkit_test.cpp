#include <gtest/gtest.h>

#if __has_include(<cuda_fp8.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <cuda_fp8.h>
#pragma GCC diagnostic pop
#define PAIREDHEAD_HAS_CUDA_FP8
#endif

#include <cmath>

#include "reference/fp8.h"

// Against the conversions that the CUDA toolkit's own header makes on the host, where it is found.

namespace pairedhead {
namespace {

#ifdef PAIREDHEAD_HAS_CUDA_FP8

__nv_fp8_interpretation_t interpretation(DType format) {
  return format == DType::e4m3 ? __NV_E4M3 : __NV_E5M2;
}

TEST(Fp8Toolkit, EveryCode) {
  for (const DType format : {DType::e4m3, DType::e5m2}) {
    for (int code = 0; code < 256; ++code) {
      const auto byte = static_cast<std::uint8_t>(code);
      const auto theirs = static_cast<double>(
          __half2float(__half(__nv_cvt_fp8_to_halfraw(byte, interpretation(format)))));
      const double ours = from_fp8_bits(format, byte);
      EXPECT_TRUE(ours == theirs || (std::isnan(ours) && std::isnan(theirs)))
          << name_of(format) << " " << code << ": " << ours << " for " << theirs;
      EXPECT_EQ(std::signbit(ours), !std::isnan(ours) && code >= 0x80) << code;
    }
  }
}

// All 65536, as they are and divided by each of the head's scales.
TEST(Fp8Toolkit, EveryBf16) {
  using namespace reference;
  for (const float scale : {1.0f, fp8_activation_scale, fp8_weight_scale, fp8_gradient_scale}) {
    Tensor<double> x({65536});
    for (Index i = 0; i < x.size(); ++i) x[i] = from_bf16_bits(static_cast<std::uint16_t>(i));
    for (const DType format : {DType::e4m3, DType::e5m2}) {
      const Tensor<double> ours = quantise_fp8(x, scale, format);
      for (Index i = 0; i < x.size(); ++i) {
        const float quotient = static_cast<float>(x[i]) / scale;
        const int theirs = __nv_cvt_float_to_fp8(quotient, __NV_SATFINITE, interpretation(format));
        ASSERT_EQ(to_fp8_bits(format, ours[i]), theirs)
            << name_of(format) << " of " << x[i] << " / " << scale;
      }
    }
  }
}

#else

TEST(Fp8Toolkit, EveryCodeAndBf16) { GTEST_SKIP() << "no cuda_fp8.h, the CUDA toolkit's header"; }

#endif

}  // namespace
}  // namespace pairedhead
