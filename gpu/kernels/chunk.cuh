#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

// Eight channels of bf16, the 16 bytes that a lane loads and stores at once; one by one where a row
// does not lie that way. Else addresses are multiples of 16 bytes.

namespace pairedhead::gpu {

constexpr int channels_of_lane = 8;
constexpr int pairs_of_lane = channels_of_lane / 2;

// 8 channels as they are stored.
struct alignas(16) Chunk {
  __nv_bfloat162 pair[pairs_of_lane];
};
static_assert(sizeof(Chunk) == sizeof(uint4));

// The same in fp32.
struct Lane {
  float2 pair[pairs_of_lane];
};

// The bits go by value: through a reference they would be read byte by byte.
__device__ __forceinline__ Chunk chunk_of(uint4 bits) {
  Chunk chunk;
  memcpy(&chunk, &bits, sizeof bits);
  return chunk;
}

__device__ __forceinline__ Chunk load(const __nv_bfloat16* from) {
  return chunk_of(*reinterpret_cast<const uint4*>(from));
}

// Of memory that nobody writes while the kernel runs.
__device__ __forceinline__ Chunk load_constant(const __nv_bfloat16* from) {
  return chunk_of(__ldg(reinterpret_cast<const uint4*>(from)));
}

__device__ __forceinline__ void store(__nv_bfloat16* to, const Chunk& chunk) {
  uint4 bits;
  memcpy(&bits, &chunk, sizeof bits);
  *reinterpret_cast<uint4*>(to) = bits;
}

// The channels of row[column ...], zeros behind the end of a row of `count`. With `vectors`, count
// and column are multiples of 8 and the row is aligned to 16 bytes.
template <bool vectors>
__device__ __forceinline__ Chunk load_chunk(const __nv_bfloat16* row, std::int64_t column,
                                            std::int64_t count) {
  Chunk chunk{};
  if constexpr (vectors) {
    if (column < count) chunk = load(row + column);
  } else {
#pragma unroll
    for (int i = 0; i < channels_of_lane; ++i) {
      if (column + i >= count) continue;
      (i % 2 == 0 ? chunk.pair[i / 2].x : chunk.pair[i / 2].y) = row[column + i];
    }
  }
  return chunk;
}

template <bool vectors>
__device__ __forceinline__ void store_chunk(__nv_bfloat16* row, std::int64_t column,
                                            std::int64_t count, const Chunk& chunk) {
  if constexpr (vectors) {
    if (column < count) store(row + column, chunk);
  } else {
#pragma unroll
    for (int i = 0; i < channels_of_lane; ++i) {
      if (column + i >= count) continue;
      row[column + i] = i % 2 == 0 ? chunk.pair[i / 2].x : chunk.pair[i / 2].y;
    }
  }
}

// By its bits, an instruction each: the library's takes two for the second.
__device__ __forceinline__ float2 widen(const __nv_bfloat162& pair) {
  std::uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return {__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u)};
}

__device__ __forceinline__ Lane widen(const Chunk& chunk) {
  Lane lane;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) lane.pair[i] = widen(chunk.pair[i]);
  return lane;
}

__device__ __forceinline__ Chunk narrow(const Lane& lane) {
  Chunk chunk;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) chunk.pair[i] = __float22bfloat162_rn(lane.pair[i]);
  return chunk;
}

__device__ __forceinline__ float dot(const Lane& a, const Lane& b) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    sum += a.pair[i].x * b.pair[i].x + a.pair[i].y * b.pair[i].y;
  }
  return sum;
}

// The sum over the lanes of a group, in all of them. group_lanes is a power of two.
template <int group_lanes>
__device__ __forceinline__ float group_sum(float value) {
#pragma unroll
  for (int step = group_lanes / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, step);
  }
  return value;
}

__device__ __forceinline__ Lane scaled(Lane lane, float factor) {
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    lane.pair[i].x *= factor;
    lane.pair[i].y *= factor;
  }
  return lane;
}

// factor * x + y.
__device__ __forceinline__ Lane scaled_sum(float factor, const Lane& x, const Lane& y) {
  Lane sum;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    sum.pair[i].x = factor * x.pair[i].x + y.pair[i].x;
    sum.pair[i].y = factor * x.pair[i].y + y.pair[i].y;
  }
  return sum;
}

}  // namespace pairedhead::gpu
