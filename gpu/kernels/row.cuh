#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "gpu/kernels/gate.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"

// A row [C] of bf16 in the registers of a warp. Lane l holds channels 8 l ... 8 l + 7 of every 256:
// 16 bytes, one load, where C is a multiple of 8; else each element by itself.

namespace pairedhead::gpu {

constexpr int widest_row = 1024;

constexpr int row_threads = 128;  // of a block
constexpr int row_warps = row_threads / warp_threads;

// The first row of this warp.
__device__ __forceinline__ int first_row() {
  return static_cast<int>(blockIdx.x) * row_warps + warp_of_block();
}

// Blocks of a kernel with one row a warp.
inline unsigned row_blocks(int rows) {
  return static_cast<unsigned>((rows + row_warps - 1) / row_warps);
}

// Blocks of a kernel that sums over rows: enough to fill an H100, whose multiprocessors hold
// `resident` each, and as many on any other GPU, so that the order of addition depends on nothing
// but the shape. A warp takes every (blocks * row_warps)th row.
constexpr int multiprocessors = 132;
inline int summing_blocks(int rows, int resident) {
  const int most_blocks = resident * multiprocessors;
  const int wanted = static_cast<int>(row_blocks(rows));
  return wanted < most_blocks ? wanted : most_blocks;
}

// Leaves the sums over the block's warps where sum_partials finds them. sums: shared memory,
// [row_warps][numbers], written by its warps; called by all threads.
template <int numbers>
__device__ __forceinline__ void leave_partials(const float (*sums)[numbers], float* partials) {
  __syncthreads();
  if (threadIdx.x >= numbers) return;
  float sum = 0;
  for (int warp = 0; warp < row_warps; ++warp) sum += sums[warp][threadIdx.x];
  partials[threadIdx.x * gridDim.x + blockIdx.x] = sum;
}

// `aligned`: C is a multiple of 8.
template <int chunks_, bool aligned_>
struct Row {
  static constexpr int chunks = chunks_;  // 256 channels each
  static constexpr bool aligned = aligned_;
  static constexpr int elements = 8 * chunks;  // of a lane

  unsigned words[elements / 2];  // two channels each, the even one in the lower half

  __device__ __forceinline__ float operator[](int n) const {
    const unsigned word = words[n / 2];
    return __uint_as_float(n % 2 == 0 ? word << 16 : word & 0xffff0000u);
  }

  // The channel of element n of this lane.
  static __device__ __forceinline__ int channel(int n) {
    return (n / 8 * warp_threads + lane_of_warp()) * 8 + n % 8;
  }
};

// Zeros beyond the width.
template <class RowType>
__device__ __forceinline__ RowType load_row(const __nv_bfloat16* from, int width) {
  RowType row;
#pragma unroll
  for (int chunk = 0; chunk < RowType::chunks; ++chunk) {
    const int begin = RowType::channel(8 * chunk);
    if constexpr (RowType::aligned) {
      const uint4 bits =
          begin < width ? *reinterpret_cast<const uint4*>(from + begin) : uint4{0, 0, 0, 0};
      row.words[4 * chunk] = bits.x;
      row.words[4 * chunk + 1] = bits.y;
      row.words[4 * chunk + 2] = bits.z;
      row.words[4 * chunk + 3] = bits.w;
    } else {
#pragma unroll
      for (int pair = 0; pair < 4; ++pair) {
        const auto bits = [&](int c) -> unsigned {
          return c < width ? __bfloat16_as_ushort(from[c]) : 0u;
        };
        row.words[4 * chunk + pair] = bits(begin + 2 * pair) | bits(begin + 2 * pair + 1) << 16;
      }
    }
  }
  return row;
}

template <class RowType>
__device__ __forceinline__ RowType load_row_or_zero(const __nv_bfloat16* from, std::int64_t offset,
                                                    int width) {
  return from == nullptr ? RowType{} : load_row<RowType>(from + offset, width);
}

template <class RowType>
__device__ __forceinline__ void store_row(__nv_bfloat16* to, int width, const RowType& row) {
#pragma unroll
  for (int chunk = 0; chunk < RowType::chunks; ++chunk) {
    const int begin = RowType::channel(8 * chunk);
    const unsigned* words = row.words + 4 * chunk;
    if constexpr (RowType::aligned) {
      if (begin < width) {
        *reinterpret_cast<uint4*>(to + begin) = uint4{words[0], words[1], words[2], words[3]};
      }
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const unsigned bits = i % 2 == 0 ? words[i / 2] & 0xffffu : words[i / 2] >> 16;
        if (begin + i < width) to[begin + i] = __ushort_as_bfloat16(static_cast<ushort>(bits));
      }
    }
  }
}

// value(n): what element n of this lane becomes, rounded to bf16 here.
template <class RowType, class Value>
__device__ __forceinline__ RowType rounded_row(const Value& value) {
  RowType row;
#pragma unroll
  for (int word = 0; word < RowType::elements / 2; ++word) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(value(2 * word), value(2 * word + 1));
    row.words[word] = *reinterpret_cast<const unsigned*>(&pair);
  }
  return row;
}

template <class RowType, class Value>
__device__ __forceinline__ void store_rounded(__nv_bfloat16* to, int width, const Value& value) {
  store_row(to, width, rounded_row<RowType>(value));
}

// The sum over the row of term(n), in every lane.
template <class RowType, class Term>
__device__ __forceinline__ float row_sum(const Term& term) {
  float sum = 0;
#pragma unroll
  for (int n = 0; n < RowType::elements; ++n) sum += term(n);
  return warp_sum(sum);
}

// (mean square + epsilon)^(-1/2), SPEC §3 "rms", of a row with this sum of squares.
__device__ __forceinline__ float inverse_rms(float squares, int width, KernelMutant mutant) {
  const float epsilon = planted(mutant, KernelMutant::norm_epsilon_of_bf16) ? 0x1p-7f : 0x1p-23f;
  return rsqrtf(squares / static_cast<float>(width) + epsilon);
}

// sig(<x[0:12], w>), in every lane. Channels 0 to 11 lie in the first chunk of lanes 0 and 1.
template <class RowType>
__device__ __forceinline__ float gate_of(const RowType& x, const __nv_bfloat16* w) {
  float logit = 0;
#pragma unroll
  for (int n = 0; n < 8; ++n) {
    const int c = RowType::channel(n);
    if (c < gate_channels) logit += x[n] * __bfloat162float(w[c]);
  }
  return logistic(warp_sum(logit));
}

// Throws std::invalid_argument, naming `caller`, on rows that no warp holds.
inline void require_rows(const char* caller, int tokens, int width) {
  if (tokens < 1 || width < gate_channels || width > widest_row) {
    throw std::invalid_argument(std::string(caller) + ": expected at least one token of " +
                                std::to_string(gate_channels) + " to " +
                                std::to_string(widest_row) + " channels, got " +
                                std::to_string(tokens) + " of " + std::to_string(width));
  }
}

// Calls launch.operator()<RowType>() with the row that holds `width` channels. Throws as
// require_rows, and CudaError.
template <class Launch>
void dispatch_row(const char* caller, int tokens, int width, const Launch& launch) {
  require_rows(caller, tokens, width);
  if (width % 8 != 0) {
    launch.template operator()<Row<4, false>>();
  } else if (width <= 256) {
    launch.template operator()<Row<1, true>>();
  } else if (width <= 512) {
    launch.template operator()<Row<2, true>>();
  } else if (width <= 768) {
    launch.template operator()<Row<3, true>>();
  } else {
    launch.template operator()<Row<4, true>>();
  }
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace pairedhead::gpu
