#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// 16 bytes of bf16 at a time, and one value at a time where they do not lie that way.

namespace pairedhead::gpu {

constexpr int chunk_values = 8;

// As they lie in memory.
struct alignas(16) Bf16Chunk {
  __nv_bfloat162 pair[chunk_values / 2];
};

inline bool aligned_to_16(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
}

// The values of row[column ...], zeros behind the end of the row. With `vectors`, count and column
// are multiples of 8 and the row is aligned to 16 bytes.
template <bool vectors>
__device__ __forceinline__ Bf16Chunk load_chunk(const __nv_bfloat16* row, std::int64_t column,
                                                std::int64_t count) {
  Bf16Chunk chunk{};
  if constexpr (vectors) {
    if (column < count) chunk = *reinterpret_cast<const Bf16Chunk*>(row + column);
  } else {
#pragma unroll
    for (int i = 0; i < chunk_values; ++i) {
      if (column + i >= count) continue;
      (i % 2 == 0 ? chunk.pair[i / 2].x : chunk.pair[i / 2].y) = row[column + i];
    }
  }
  return chunk;
}

template <bool vectors>
__device__ __forceinline__ void store_chunk(__nv_bfloat16* row, std::int64_t column,
                                            std::int64_t count, const Bf16Chunk& chunk) {
  if constexpr (vectors) {
    if (column < count) *reinterpret_cast<Bf16Chunk*>(row + column) = chunk;
  } else {
#pragma unroll
    for (int i = 0; i < chunk_values; ++i) {
      if (column + i >= count) continue;
      row[column + i] = i % 2 == 0 ? chunk.pair[i / 2].x : chunk.pair[i / 2].y;
    }
  }
}

}  // namespace pairedhead::gpu
