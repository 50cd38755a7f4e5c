#include <cuda_bf16.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/rotary_table.h"

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;

struct CosineSine {
  float cosine, sine;
};

// Both as rounded from double, |theta| < 2^31: theta less the nearest multiple of pi/2, two Taylor
// series, and the quadrant. The library's sincos takes several times as long.
__device__ __forceinline__ CosineSine cosine_sine(double theta) {
  constexpr double whole_in_low_bits = 0x1.8p52;
  const double shifted = fma(theta, 0.63661977236758134308, whole_in_low_bits);
  const double quarters = shifted - whole_in_low_bits;
  double r = fma(-quarters, 1.57079632679489655800, theta);
  r = fma(-quarters, 6.12323399573676603587e-17, r);
  const double r2 = r * r;
  double sine = -1.0 / 1307674368000;  // 15!
  sine = fma(sine, r2, 1.0 / 6227020800);
  sine = fma(sine, r2, -1.0 / 39916800);
  sine = fma(sine, r2, 1.0 / 362880);
  sine = fma(sine, r2, -1.0 / 5040);
  sine = fma(sine, r2, 1.0 / 120);
  sine = fma(sine, r2, -1.0 / 6);
  sine = fma(sine, r2 * r, r);
  double cosine = 1.0 / 20922789888000;  // 16!
  cosine = fma(cosine, r2, -1.0 / 87178291200);
  cosine = fma(cosine, r2, 1.0 / 479001600);
  cosine = fma(cosine, r2, -1.0 / 3628800);
  cosine = fma(cosine, r2, 1.0 / 40320);
  cosine = fma(cosine, r2, -1.0 / 720);
  cosine = fma(cosine, r2, 1.0 / 24);
  cosine = fma(cosine, r2, -0.5);
  cosine = fma(cosine, r2, 1.0);
  const int quadrant = __double2loint(shifted);
  const auto along = static_cast<float>(cosine), across = static_cast<float>(sine);
  const bool turned = (quadrant & 1) != 0;
  return {((quadrant + 1) & 2) != 0 ? -(turned ? across : along) : (turned ? across : along),
          (quadrant & 2) != 0 ? -(turned ? along : across) : (turned ? along : across)};
}

// cos and sin in double of the fp32 product: theta reaches 5e5, where a fast sine is noise. Double
// is what this kernel's time goes into, so it is not asked for what is known: a stationary channel
// is not turned, and the channels of a pair turn alike.
struct Factors {
  __nv_bfloat16 cosine, sine;
};
__device__ __forceinline__ Factors factors(float position, float frequency) {
  const float theta = __fmul_rn(position, frequency);
  if (theta == 0) return {__float2bfloat16_rn(1), __float2bfloat16_rn(0)};
  const CosineSine of = cosine_sine(static_cast<double>(theta));
  return {__float2bfloat16_rn(of.cosine), __float2bfloat16_rn(of.sine)};
}

// The table's entries of four channels.
struct FourFactors {
  alignas(8) __nv_bfloat162 cosine[2];
  alignas(8) __nv_bfloat162 sine[2];
};
__device__ __forceinline__ FourFactors four_factors(float position, float4 frequency) {
  const Factors first = factors(position, frequency.x);
  const Factors second = frequency.y == frequency.x ? first : factors(position, frequency.y);
  const Factors third = factors(position, frequency.z);
  const Factors fourth = frequency.w == frequency.z ? third : factors(position, frequency.w);
  return {{{first.cosine, second.cosine}, {third.cosine, fourth.cosine}},
          {{first.sine, __hneg(second.sine)}, {third.sine, __hneg(fourth.sine)}}};
}

// A thread makes four channels of each half of a row: the second half is stationary (SPEC §3.4), so
// that all threads have the same work.
__global__ void __launch_bounds__(threads_of_block)
    fill_table(const float* __restrict__ frequency, int positions, int head_dim,
               __nv_bfloat16* __restrict__ cosine, __nv_bfloat16* __restrict__ sine) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const int threads_of_row = head_dim / 8;
  const int n = static_cast<int>(blockIdx.x) * threads_of_block + static_cast<int>(threadIdx.x);
  // Plain [T, D] counts positions t, paired [T, 2D] 2t and 2t + 1: the same count either way.
  const int position = n / threads_of_row;
  if (position >= positions) return;
  for (const int half : {0, 1}) {
    const int channel = half * head_dim / 2 + (n - position * threads_of_row) * 4;
    const FourFactors four = four_factors(static_cast<float>(position),
                                          *reinterpret_cast<const float4*>(frequency + channel));
    const std::int64_t at = std::int64_t{position} * head_dim + channel;
    *reinterpret_cast<uint2*>(cosine + at) = *reinterpret_cast<const uint2*>(four.cosine);
    *reinterpret_cast<uint2*>(sine + at) = *reinterpret_cast<const uint2*>(four.sine);
  }
}

}  // namespace

void rotary_table(const float* frequency, int tokens, int head_dim, bool paired,
                  __nv_bfloat16* cosine, __nv_bfloat16* sine, cudaStream_t stream) {
  const std::int64_t positions = static_cast<std::int64_t>(tokens) * (paired ? 2 : 1);
  const std::int64_t threads = positions * (head_dim / 8);
  if (tokens < 1 || head_dim % 8 != 0 || head_dim < 8 || threads > 1 << 30) {
    throw std::invalid_argument(
        "rotary_table: expected a head_dim that is a multiple of 8 and at most 2^33 entries, got " +
        std::to_string(tokens) + " tokens of " + std::to_string(head_dim));
  }
  const auto blocks = static_cast<unsigned>((threads + threads_of_block - 1) / threads_of_block);
  launch_overlapped(fill_table, {dim3(blocks), threads_of_block}, stream, frequency,
                    static_cast<int>(positions), head_dim, cosine, sine);
}

}  // namespace pairedhead::gpu
