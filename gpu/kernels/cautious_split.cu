#include <stdexcept>
#include <string>

#include "gpu/kernels/cautious_split.h"
#include "gpu/kernels/elementwise.cuh"
#include "gpu/kernels/mutant.h"

namespace pairedhead::gpu {
namespace {

__device__ __forceinline__ float join(std::uint16_t high, std::uint16_t low) {
  return __uint_as_float(static_cast<unsigned>(high) << 16 | low);
}

__device__ __forceinline__ bool keeps(float direction, float z, float rate, KernelMutant mutant) {
  if (planted(mutant, KernelMutant::split_mask_after_update)) {
    z = __fsub_rn(z, __fmul_rn(direction, rate));
  }
  const float product = __fmul_rn(direction, z);
  return planted(mutant, KernelMutant::split_mask_strict) ? product > 0 : product >= 0;
}

// The intrinsics are never contracted into multiply-adds.
__device__ __forceinline__ float moved(float z, float direction, float rate, float decay,
                                       KernelMutant mutant) {
  const float keep = keeps(direction, z, rate, mutant) ? 1.0f : 0.0f;
  const float decayed = __fmul_rn(__fmul_rn(__fmul_rn(z, keep), decay), rate);
  return __fsub_rn(__fsub_rn(z, decayed), __fmul_rn(direction, rate));
}

// n elements of a row.
struct CautiousSplit {
  unsigned columns;
  const __nv_bfloat16* direction;
  const float *row_factor, *learning_rate, *weight_decay;
  std::uint16_t *parameter, *mantissa;
  KernelMutant mutant;

  template <int n>
  __device__ void operator()(std::int64_t at) const {
    const float factor = row_factor[static_cast<unsigned>(at) / columns];
    const float rate = *learning_rate, decay = *weight_decay;
    const auto directions = load_pack<n>(direction + at);
    auto high = load_pack<n>(parameter + at), low = load_pack<n>(mantissa + at);
#pragma unroll
    for (int i = 0; i < n; ++i) {
      const __nv_bfloat16 o =
          __float2bfloat16_rn(__fmul_rn(__bfloat162float(directions[i]), factor));
      const float z = moved(join(high[i], low[i]), __bfloat162float(o), rate, decay, mutant);
      unsigned bits = __float_as_uint(z);
      low[i] = static_cast<std::uint16_t>(bits);
      if (planted(mutant, KernelMutant::split_rounds_to_nearest)) {
        bits += 0x7fffu + (bits >> 16 & 1u);
      }
      high[i] = static_cast<std::uint16_t>(bits >> 16);
    }
    store_pack(parameter + at, high);
    store_pack(mantissa + at, low);
  }
};

}  // namespace

void cautious_split_update(std::int64_t rows, std::int64_t columns, const __nv_bfloat16* direction,
                           const float* row_factor, const float* learning_rate,
                           const float* weight_decay, __nv_bfloat16* parameter,
                           std::uint16_t* mantissa, cudaStream_t stream) {
  const std::int64_t count = rows * columns;
  if (count >= std::int64_t{1} << 32) {
    throw std::invalid_argument("cautious_split_update: expected less than 2^32 elements, got " +
                                std::to_string(rows) + " x " + std::to_string(columns));
  }
  const CautiousSplit body = {static_cast<unsigned>(columns),
                              direction,
                              row_factor,
                              learning_rate,
                              weight_decay,
                              reinterpret_cast<std::uint16_t*>(parameter),
                              mantissa,
                              active_kernel_mutant()};
  const bool packs_keep_to_rows = columns % pack_width == 0 || rows == 1;
  const bool aligned = aligned_to_16(direction, parameter, mantissa);
  launch_elementwise(count, packs_keep_to_rows && aligned, body, stream);
}

}  // namespace pairedhead::gpu
