#pragma once

#include <cuda_fp8.h>

#include <cmath>
#include <cstdint>

#include "gpu/kernels/chunk.cuh"

// SPEC §3.8 "Quantisation": one IEEE fp32 division, then nearest even, saturating, to e4m3 or e5m2.

namespace pairedhead::gpu {

// x / scale, correctly rounded, for a bf16 x: the remainder of the product with the reciprocal
// mends its last bit (Markstein), in a third of the instructions of a division. For scales from
// 2^-60 to 2^20; a quotient so small that the remainder underflows is not the nearest, but keeps
// its sign and is far below the formats' smallest. Where `mends` is false, what the product gives.
template <bool mends>
struct Fp8Divider {
  float scale, reciprocal;

  __device__ __forceinline__ float operator()(float x) const {
    const float quotient = __fmul_rn(x, reciprocal);
    if constexpr (!mends) return quotient;
    const float excess = __fmaf_rn(quotient, scale, -x);
    const float mended = __fmaf_rn(-excess, reciprocal, quotient);
    return fabsf(quotient) < INFINITY ? mended : quotient;  // infinities and NaN have no remainder
  }
};

// Whether every bf16 gets the same code from its product with the reciprocal as from its quotient.
// The code changes half way between two codes, at numbers whose significands are multiples of 1/16:
// for none of the 128 significands of a bf16 may such a multiple lie between the two, or one of
// them alone be such a multiple.
inline bool product_gives_the_codes(float scale) {
  const float reciprocal = 1 / scale;
  for (int significand = 128; significand < 256; ++significand) {
    const auto x = static_cast<float>(significand);
    const float quotient = x / scale, product = x * reciprocal;
    const int exponent = std::ilogb(quotient) - 4;
    const float wanted = std::scalbn(quotient, -exponent), got = std::scalbn(product, -exponent);
    const bool same_side = std::floor(wanted) == std::floor(got);
    if (!same_side || (wanted == std::floor(wanted)) != (got == std::floor(got))) return false;
  }
  return true;
}

// Calls launch(divider), which mends where that is needed: not for the record's scales.
template <class Launch>
void with_fp8_divider(float scale, const Launch& launch) {
  if (product_gives_the_codes(scale)) {
    launch(Fp8Divider<false>{scale, 1 / scale});
  } else {
    launch(Fp8Divider<true>{scale, 1 / scale});
  }
}

// The codes of a chunk: byte i of word i / 4.
struct ChunkCodes {
  std::uint32_t word[2];
};

// NaN becomes 0x7f.
template <__nv_fp8_interpretation_t format, bool mends>
__device__ __forceinline__ ChunkCodes fp8_codes(const Chunk& chunk,
                                                const Fp8Divider<mends>& divide) {
  std::uint32_t pair[channels_of_lane / 2];
#pragma unroll
  for (int i = 0; i < channels_of_lane / 2; ++i) {
    const float2 value = widen(chunk.pair[i]);
    pair[i] =
        __nv_cvt_float2_to_fp8x2(float2{divide(value.x), divide(value.y)}, __NV_SATFINITE, format);
  }
  return {{pair[0] | pair[1] << 16, pair[2] | pair[3] << 16}};
}

}  // namespace pairedhead::gpu
