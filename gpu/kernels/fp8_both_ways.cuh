#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "gpu/error.h"
#include "gpu/kernels/alignment.h"
#include "gpu/kernels/fp8_codes.cuh"
#include "gpu/kernels/mutant.h"

// Matrices of fp8 codes written in both layouts, [rows, columns] and [columns, rows], in one pass
// over what they are made from: Hopper's matrix units take fp8 with the depth innermost only, and
// the head's operands are the depth's either way.

namespace pairedhead::gpu {

namespace both_ways {

constexpr int tile_rows = 128;
constexpr int threads = 256;
constexpr int bands = tile_rows / 16;  // of 16 rows, a warp each
constexpr int chunks_of_warp = 8;      // of 8 columns, a lane each
constexpr int rows_of_lane = 4;        // consecutive: they fill a word of the transpose
constexpr int pass_columns = 8 * chunks_of_warp;
template <class Encoder>
constexpr int tile_columns = Encoder::passes* pass_columns;
static_assert(threads / 32 == bands);

// Byte r of result[c] is byte c of word r.
__device__ __forceinline__ void transpose(const std::uint32_t (&word)[rows_of_lane],
                                          std::uint32_t (&result)[4]) {
  const std::uint32_t low_first = __byte_perm(word[0], word[1], 0x5140);
  const std::uint32_t low_last = __byte_perm(word[2], word[3], 0x5140);
  const std::uint32_t high_first = __byte_perm(word[0], word[1], 0x7362);
  const std::uint32_t high_last = __byte_perm(word[2], word[3], 0x7362);
  result[0] = __byte_perm(low_first, low_last, 0x5410);
  result[1] = __byte_perm(low_first, low_last, 0x7632);
  result[2] = __byte_perm(high_first, high_last, 0x5410);
  result[3] = __byte_perm(high_first, high_last, 0x7632);
}

template <bool vectors>
__device__ __forceinline__ void store_row(std::uint8_t* to, const ChunkCodes& codes,
                                          std::int64_t available) {
  if constexpr (vectors) {
    if (available > 0) *reinterpret_cast<uint2*>(to) = uint2{codes.word[0], codes.word[1]};
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < available) to[i] = static_cast<std::uint8_t>(codes.word[i / 4] >> (8 * (i % 4)));
    }
  }
}

// One tile a block. In shared memory the tile is [columns][16 rows], where units of 16 rows are
// permuted by the column's chunk: neither the words that go in nor the units that come out meet in
// a bank.
//
// Encoder: Shared; passes, the width of a tile, and resident_blocks, how many the registers of a
// multiprocessor hold (wide tiles where the codes cost arithmetic, else many narrow ones); and
//   prepare(shared, first_row)                      by the whole block, before a barrier
//   codes(shared, chunk, row, column) -> ChunkCodes   of 8 columns from `column` on; row: in the
//   tile
template <bool vectors, class Encoder>
__global__ void __launch_bounds__(threads, Encoder::resident_blocks)
    kernel(Encoder encoder, const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
           std::uint8_t* codes, std::uint8_t* transposed, KernelMutant mutant) {
  constexpr int passes = Encoder::passes, width = tile_columns<Encoder>;
  __shared__ uint4 tile[width][bands];
  __shared__ typename Encoder::Shared shared;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * tile_rows;
  const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.x) * width;
  const int thread = static_cast<int>(threadIdx.x);
  const int band = thread / 32, word_of_band = thread % 32 / chunks_of_warp;
  const int row = 16 * band + rows_of_lane * word_of_band;  // in the tile, as below
  const int column = 8 * (thread % chunks_of_warp);

  Chunk loaded[passes][rows_of_lane];
#pragma unroll
  for (int pass = 0; pass < passes; ++pass) {
#pragma unroll
    for (int r = 0; r < rows_of_lane; ++r) {
      loaded[pass][r] = Chunk{};
      if (first_row + row + r < rows) {
        loaded[pass][r] = load_chunk<vectors>(x + (first_row + row + r) * columns,
                                              first_column + column + pass * pass_columns, columns);
      }
    }
  }
  encoder.prepare(shared, first_row);
  __syncthreads();

#pragma unroll
  for (int pass = 0; pass < passes; ++pass) {
    const int at = column + pass * pass_columns;
    std::uint32_t words[2][rows_of_lane];
#pragma unroll
    for (int r = 0; r < rows_of_lane; ++r) {
      const ChunkCodes here = encoder.codes(shared, loaded[pass][r], row + r, first_column + at);
      words[0][r] = here.word[0];
      words[1][r] = here.word[1];
      if (first_row + row + r < rows) {
        store_row<vectors>(codes + (first_row + row + r) * columns + first_column + at, here,
                           columns - first_column - at);
      }
    }
#pragma unroll
    for (int quarter = 0; quarter < 2; ++quarter) {
      std::uint32_t column_words[4];
      transpose(words[quarter], column_words);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        auto* unit =
            reinterpret_cast<std::uint32_t*>(&tile[at + 4 * quarter + i][band ^ (at / 8 % bands)]);
        unit[word_of_band] = column_words[i];
      }
    }
  }
  __syncthreads();

#pragma unroll
  for (int n = 0; n < width * bands / threads; ++n) {
    const int unit = n * threads + thread;
    const int column = unit / bands, group = unit % bands;
    const std::int64_t row = first_row + 16 * group;
    if (first_column + column >= columns || row >= rows) continue;
    const bool permuted = !planted(mutant, KernelMutant::transpose_not_permuted);
    const uint4 sixteen = tile[column][permuted ? group ^ (column / 8 % bands) : group];
    std::uint8_t* to = transposed + (first_column + column) * rows + row;
    if constexpr (vectors) {
      *reinterpret_cast<uint4*>(to) = sixteen;
    } else {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&sixteen);
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        if (row + i < rows) to[i] = bytes[i];
      }
    }
  }
}

}  // namespace both_ways

// codes [rows, columns] and transposed [columns, rows] of what the Encoder makes of x, bf16
// [rows, columns].
template <class Encoder>
void write_both_ways(const Encoder& encoder, const __nv_bfloat16* x, std::int64_t rows,
                     std::int64_t columns, std::uint8_t* codes, std::uint8_t* transposed,
                     cudaStream_t stream) {
  const auto tiles = [](std::int64_t extent, int tile) {
    return static_cast<unsigned>((extent + tile - 1) / tile);
  };
  const dim3 blocks(tiles(columns, both_ways::tile_columns<Encoder>),
                    tiles(rows, both_ways::tile_rows));
  const bool aligned = aligned_to_16(x, codes, transposed);
  const auto kernel = aligned && rows % 16 == 0 && columns % 16 == 0
                          ? both_ways::kernel<true, Encoder>
                          : both_ways::kernel<false, Encoder>;
  kernel<<<blocks, both_ways::threads, 0, stream>>>(encoder, x, rows, columns, codes, transposed,
                                                    active_kernel_mutant());
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace pairedhead::gpu
