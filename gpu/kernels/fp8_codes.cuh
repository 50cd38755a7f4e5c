#pragma once

#include <cuda_fp8.h>

#include <cstdint>

#include "gpu/kernels/chunk.cuh"

// SPEC §3.8 "Quantisation": one IEEE fp32 division, then nearest even, saturating, to e4m3 or e5m2.

namespace pairedhead::gpu {

// x / scale, correctly rounded, for a bf16 x: the remainder of the product with the reciprocal
// mends its last bit (Markstein), in a third of the instructions of a division. For scales from
// 2^-60 to 2^20; a quotient so small that the remainder underflows is not the nearest, but keeps
// its sign and is far below the formats' smallest.
struct Fp8Divider {
  float scale, reciprocal;

  explicit Fp8Divider(float scale) : scale(scale), reciprocal(1 / scale) {}

  __device__ __forceinline__ float operator()(float x) const {
    const float quotient = __fmul_rn(x, reciprocal);
    const float excess = __fmaf_rn(quotient, scale, -x);
    const float mended = __fmaf_rn(-excess, reciprocal, quotient);
    return fabsf(quotient) < INFINITY ? mended : quotient;  // infinities and NaN have no remainder
  }
};

// The codes of a chunk: byte i of word i / 4.
struct ChunkCodes {
  std::uint32_t word[2];
};

// NaN becomes 0x7f.
template <__nv_fp8_interpretation_t format>
__device__ __forceinline__ ChunkCodes fp8_codes(const Chunk& chunk, const Fp8Divider& divide) {
  std::uint32_t pair[channels_of_lane / 2];
#pragma unroll
  for (int i = 0; i < channels_of_lane / 2; ++i) {
    const float2 value = __bfloat1622float2(chunk.pair[i]);
    pair[i] =
        __nv_cvt_float2_to_fp8x2(float2{divide(value.x), divide(value.y)}, __NV_SATFINITE, format);
  }
  return {{pair[0] | pair[1] << 16, pair[2] | pair[3] << 16}};
}

}  // namespace pairedhead::gpu
