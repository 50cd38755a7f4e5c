#include "gpu/kernels/fp8_both_ways.cuh"
#include "gpu/kernels/head.h"
#include "gpu/kernels/mutant.h"

namespace pairedhead::gpu {
namespace {

template <__nv_fp8_interpretation_t format, bool mends>
struct Encoder {
  static constexpr int passes = 1, resident_blocks = 5;

  Fp8Divider<mends> divide;

  struct Shared {};
  __device__ void prepare(Shared&, std::int64_t) const {}
  __device__ ChunkCodes codes(const Shared&, const Chunk& chunk, int, std::int64_t) const {
    return fp8_codes<format>(chunk, divide);
  }
};

template <__nv_fp8_interpretation_t format>
void quantise(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns, float scale,
              std::uint8_t* codes, std::uint8_t* transposed, cudaStream_t stream) {
  with_fp8_divider(scale, [&]<bool mends>(const Fp8Divider<mends>& divide) {
    write_both_ways(Encoder<format, mends>{divide}, x, rows, columns, codes, transposed, stream);
  });
}

}  // namespace

Fp8Scales fp8_scales() {
  constexpr float weight = 1.6f / 448;
  const bool wrong = planted(active_kernel_mutant(), KernelMutant::activation_scale_of_weights);
  return {.activation = wrong ? weight : 100.0f / 448, .weight = weight, .gradient = 0.75f / 448};
}

void quantise_both_ways(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
                        float scale, std::uint8_t* codes, std::uint8_t* transposed,
                        cudaStream_t stream) {
  const bool rounded = planted(active_kernel_mutant(), KernelMutant::quantised_by_bf16_scale);
  const float divisor = rounded ? __bfloat162float(__float2bfloat16_rn(scale)) : scale;
  quantise<__NV_E4M3>(x, rows, columns, divisor, codes, transposed, stream);
}

void quantise_e5m2_both_ways(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
                             float scale, std::uint8_t* codes, std::uint8_t* transposed,
                             cudaStream_t stream) {
  quantise<__NV_E5M2>(x, rows, columns, scale, codes, transposed, stream);
}

}  // namespace pairedhead::gpu
