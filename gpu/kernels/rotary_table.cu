#include <cuda_bf16.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/rotary_table.h"

namespace pairedhead::gpu {
namespace {

// A thread makes four channels of two neighbouring positions: four angles at a time, which share
// what it takes to bring a constant to the arithmetic unit and wait together for the unit's answer.
constexpr int channels_of_thread = 4, pairs_of_thread = 2, positions_of_thread = 2;
constexpr int angles = pairs_of_thread * positions_of_thread;
constexpr int most_threads_of_block = 256;

// The two factors of a pair of channels.
struct Factors {
  __nv_bfloat16 cosine, sine;
};

// sums[i] * x[i] + coefficient, once for each coefficient.
template <int n>
__device__ __forceinline__ void horner(double (&sums)[angles], const double (&x)[angles],
                                       const double (&coefficients)[n]) {
#pragma unroll
  for (const double coefficient : coefficients) {
#pragma unroll
    for (int i = 0; i < angles; ++i) sums[i] = fma(sums[i], x[i], coefficient);
  }
}

// Of theta, fp32 products of up to 5e5, where a fast sine is noise: |theta| < 2^31 less the nearest
// multiple of pi/2, two Taylor series in double, and the quadrant; rounded to fp32, then to bf16.
// The library's sincos takes several times as long.
__device__ __forceinline__ void factors(const float (&theta)[angles], Factors (&of)[angles]) {
  constexpr double whole_in_low_bits = 0x1.8p52;
  constexpr double of_sine[] = {1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880,
                                -1.0 / 5040,      1.0 / 120,       -1.0 / 6};
  constexpr double of_cosine[] = {-1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320,
                                  -1.0 / 720,         1.0 / 24,        -0.5,           1.0};
  int quadrant[angles];
  double r[angles], r2[angles], sine[angles], cosine[angles];
#pragma unroll
  for (int i = 0; i < angles; ++i) {
    const auto exact = static_cast<double>(theta[i]);
    const double shifted = fma(exact, 0.63661977236758134308, whole_in_low_bits);
    const double quarters = shifted - whole_in_low_bits;
    quadrant[i] = __double2loint(shifted);
    r[i] = fma(-quarters, 1.57079632679489655800, exact);
    r[i] = fma(-quarters, 6.12323399573676603587e-17, r[i]);
    r2[i] = r[i] * r[i];
    sine[i] = -1.0 / 1307674368000;    // 15!
    cosine[i] = 1.0 / 20922789888000;  // 16!
  }
  horner(sine, r2, of_sine);
  horner(cosine, r2, of_cosine);
#pragma unroll
  for (int i = 0; i < angles; ++i) {
    sine[i] = fma(sine[i], r2[i] * r[i], r[i]);
    const auto along = static_cast<float>(cosine[i]), across = static_cast<float>(sine[i]);
    const bool turned = (quadrant[i] & 1) != 0;
    const float c = turned ? across : along, s = turned ? along : across;
    of[i] = {__float2bfloat16_rn(((quadrant[i] + 1) & 2) != 0 ? -c : c),
             __float2bfloat16_rn((quadrant[i] & 2) != 0 ? -s : s)};
  }
}

// The rows of a table for four channels.
struct Rows {
  __nv_bfloat16 *cosine, *sine;

  __device__ __forceinline__ void store(std::int64_t at, Factors first, Factors second) const {
    const __nv_bfloat162 cosines[] = {{first.cosine, first.cosine}, {second.cosine, second.cosine}};
    const __nv_bfloat162 sines[] = {{first.sine, __hneg(first.sine)},
                                    {second.sine, __hneg(second.sine)}};
    *reinterpret_cast<uint2*>(cosine + at) = *reinterpret_cast<const uint2*>(cosines);
    *reinterpret_cast<uint2*>(sine + at) = *reinterpret_cast<const uint2*>(sines);
  }
};

// Threads of a block: x over the channels of a row's lower half, y over positions. Each makes its
// share of the stationary upper half first, which is on its way while it computes.
__global__ void __launch_bounds__(most_threads_of_block)
    fill_table(const float* __restrict__ frequency, int positions, int head_dim, Rows to) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const int channel = static_cast<int>(threadIdx.x) * channels_of_thread;
  // Plain [T, D] counts positions t, paired [T, 2D] 2t and 2t + 1: the same count either way.
  const int first = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y) * positions_of_thread;
  const std::int64_t at = std::int64_t{first} * head_dim + channel;
  const bool has_second = first + 1 < positions;
  if (first >= positions) return;
  const Factors still = {__float2bfloat16_rn(1), __float2bfloat16_rn(0)};
  to.store(at + head_dim / 2, still, still);
  if (has_second) to.store(at + head_dim / 2 + head_dim, still, still);

  const float4 of_channels = *reinterpret_cast<const float4*>(frequency + channel);
  const auto earlier = static_cast<float>(first), later = static_cast<float>(first + 1);
  const float theta[angles] = {__fmul_rn(earlier, of_channels.x), __fmul_rn(earlier, of_channels.z),
                               __fmul_rn(later, of_channels.x), __fmul_rn(later, of_channels.z)};
  Factors of[angles];
  factors(theta, of);
  to.store(at, of[0], of[1]);
  if (has_second) to.store(at + head_dim, of[2], of[3]);
}

}  // namespace

void rotary_table(const float* frequency, int tokens, int head_dim, bool paired,
                  __nv_bfloat16* cosine, __nv_bfloat16* sine, cudaStream_t stream) {
  const std::int64_t positions = static_cast<std::int64_t>(tokens) * (paired ? 2 : 1);
  constexpr int most_head_dim = 2 * channels_of_thread * most_threads_of_block;
  if (tokens < 1 || head_dim % 8 != 0 || head_dim < 8 || head_dim > most_head_dim ||
      positions * head_dim > std::int64_t{1} << 33) {
    throw std::invalid_argument(
        "rotary_table: expected a head_dim that is a multiple of 8, at most " +
        std::to_string(most_head_dim) + ", and at most 2^33 entries, got " +
        std::to_string(tokens) + " tokens of " + std::to_string(head_dim));
  }
  const int across = head_dim / (2 * channels_of_thread);
  const dim3 threads(static_cast<unsigned>(across),
                     static_cast<unsigned>(most_threads_of_block / across));
  const std::int64_t positions_of_block = std::int64_t{threads.y} * positions_of_thread;
  const auto blocks =
      static_cast<unsigned>((positions + positions_of_block - 1) / positions_of_block);
  launch_overlapped(fill_table, {dim3(blocks), threads}, stream, frequency,
                    static_cast<int>(positions), head_dim, Rows{cosine, sine});
}

}  // namespace pairedhead::gpu
