#include <stdexcept>

#include "gpu/kernels/fp8_both_ways.cuh"
#include "gpu/kernels/head.h"
#include "gpu/kernels/mutant.h"

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;

template <__nv_fp8_interpretation_t format>
__global__ void __launch_bounds__(threads_of_block)
    quantise(const __nv_bfloat16* __restrict__ x, std::int64_t count, Fp8Divider divide,
             std::uint8_t* __restrict__ codes) {
  const std::int64_t first =
      8 * (static_cast<std::int64_t>(blockIdx.x) * threads_of_block + threadIdx.x);
  if (first + 8 <= count) {
    const Bf16Chunk chunk = load_chunk<true>(x, first, count);
    const ChunkCodes all = fp8_codes<format>(chunk, divide);
    *reinterpret_cast<uint2*>(codes + first) = uint2{all.word[0], all.word[1]};
  } else if (first < count) {
    const ChunkCodes some = fp8_codes<format>(load_chunk<false>(x, first, count), divide);
    for (std::int64_t i = first; i < count; ++i) {
      const auto byte = static_cast<unsigned>(i - first);
      codes[i] = static_cast<std::uint8_t>(some.word[byte / 4] >> (8 * (byte % 4)));
    }
  }
}

template <__nv_fp8_interpretation_t format>
void launch(const __nv_bfloat16* x, std::int64_t count, float scale, std::uint8_t* codes,
            cudaStream_t stream) {
  if (!aligned_to_16(x) || !aligned_to_16(codes)) {
    throw std::invalid_argument("quantise: expected x and codes aligned to 16 bytes");
  }
  const std::int64_t of_block = 8 * threads_of_block;
  const auto blocks = static_cast<unsigned>((count + of_block - 1) / of_block);
  quantise<format><<<blocks, threads_of_block, 0, stream>>>(x, count, Fp8Divider(scale), codes);
  CUDA_CHECK(cudaGetLastError());
}

template <__nv_fp8_interpretation_t format>
struct Encoder {
  Fp8Divider divide;

  struct Shared {};
  __device__ void prepare(Shared&, std::int64_t) const {}
  __device__ ChunkCodes codes(const Shared&, const Bf16Chunk& chunk, int, std::int64_t) const {
    return fp8_codes<format>(chunk, divide);
  }
};

}  // namespace

Fp8Scales fp8_scales() {
  return {.activation = 100.0f / 448, .weight = 1.6f / 448, .gradient = 0.75f / 448};
}

void quantise_e4m3(const __nv_bfloat16* x, std::int64_t count, float scale, std::uint8_t* codes,
                   cudaStream_t stream) {
  launch<__NV_E4M3>(x, count, scale, codes, stream);
}

void quantise_e5m2(const __nv_bfloat16* x, std::int64_t count, float scale, std::uint8_t* codes,
                   cudaStream_t stream) {
  launch<__NV_E5M2>(x, count, scale, codes, stream);
}

void quantise_both_ways(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
                        float scale, std::uint8_t* codes, std::uint8_t* transposed,
                        cudaStream_t stream) {
  write_both_ways(Encoder<__NV_E4M3>{Fp8Divider(scale)}, x, rows, columns, codes, transposed,
                  stream);
}

void quantise_e5m2_both_ways(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
                             float scale, std::uint8_t* codes, std::uint8_t* transposed,
                             cudaStream_t stream) {
  write_both_ways(Encoder<__NV_E5M2>{Fp8Divider(scale)}, x, rows, columns, codes, transposed,
                  stream);
}

}  // namespace pairedhead::gpu
