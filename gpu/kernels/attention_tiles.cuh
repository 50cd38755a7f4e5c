#pragma once

#include <cuda.h>

#include "gpu/kernels/hopper.cuh"
#include "gpu/kernels/tensor_map.h"
#include "gpu/kernels/warpgroup_multiply.cuh"

// What the attention kernels share. All flat rows of a slot are one sequence cut into tiles of 128
// rows; documents and the window only bound the keys a row sees, lo(R) <= S <= R with
// lo(R) = max(document begin, R - window), which never decreases with R. A block of threads is one
// producer warp that drives the copy engine and two warpgroups that own 64 rows of the tile each.
namespace pairedhead::gpu::attention {

using namespace hopper;

constexpr int kTileRows = 128;
constexpr int kWarpgroupRows = 64;
constexpr int kThreads = 384;      // the producer's warpgroup and two consumers
constexpr int kConsumerWarps = 8;  // arrivals that free a stage
constexpr float kLog2E = 1.4426950408889634f;

// The sizes every kernel needs, in flat rows.
struct Sequence {
  const std::int32_t* cu_seqlens;
  int entries;
  int rows_per_token, rows, slots, window;
  int tiles;       // per slot
  int* next_tile;  // zero at launch: tiles handed out beyond the first of each block

  __device__ __forceinline__ int document_begin(int document) const {
    return __ldg(cu_seqlens + document) * rows_per_token;
  }
  // The document of `row`, searched upwards from one at or before it.
  __device__ __forceinline__ int find_document_after(int document, int row) const {
    while (document_begin(document + 1) <= row) ++document;
    return document;
  }
  // The document of `row`, a 32-way search by a whole warp. Of repeated entries the last counts,
  // which passes over empty documents.
  __device__ __forceinline__ int find_document(int row) const {
    int first = 0, count = entries;
    while (count > 1) {
      const int step = (count + 31) / 32, offset = static_cast<int>(threadIdx.x % 32) * step;
      const bool before = offset < count && document_begin(first + offset) <= row;
      const int skipped = (__popc(__ballot_sync(~0u, before)) - 1) * step;
      first += skipped;
      count = min(step, count - skipped);
    }
    return first;
  }
  __device__ __forceinline__ int first_key(int document, int row) const {
    return max(document_begin(document), row - window);
  }
  __device__ __forceinline__ int last_query(int document, int row) const {
    return min(document_begin(document + 1) - 1, row + window);
  }
};

// One tile of work: its first row, or -1 when there is none left; that row's document; the blocks
// of the other side that it meets.
struct alignas(16) Tile {
  int row, slot, document, first_block, last_block;
};

// How the producer tells the consumers which tile comes next, two tiles ahead at most.
struct TileRing {
  static constexpr int kStages = 2;
  Barrier full[kStages], empty[kStages];
  Tile tiles[kStages];

  __device__ __forceinline__ void init() {
    for (int stage = 0; stage < kStages; ++stage) {
      full[stage].init(1);
      empty[stage].init(kConsumerWarps);
    }
  }
};

__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % 32); }

// The producer warp's end of the ring. Tiles beyond a block's first are handed out by a counter, in
// order, to whichever block is free: documents make their costs uneven. Which block computes a tile
// changes no bit of it.
class TileSource {
 public:
  __device__ __forceinline__ TileSource(const Sequence& sequence, TileRing& ring)
      : sequence_(sequence), ring_(ring), index_(static_cast<int>(blockIdx.x)) {}

  // The next tile, whose document and blocks `describe` fills in.
  template <typename Describe>
  __device__ __forceinline__ Tile take(Describe describe) {
    Tile tile{-1, 0, 0, 0, 0};
    if (index_ < sequence_.tiles * sequence_.slots) {
      tile.row = index_ / sequence_.slots * kTileRows;
      tile.slot = index_ % sequence_.slots;
      describe(tile);
    }
    ring_.empty[position_.stage].wait(position_.parity ^ 1);
    if (lane() == 0) {
      ring_.tiles[position_.stage] = tile;
      ring_.full[position_.stage].arrive();
      index_ = static_cast<int>(gridDim.x) + atomicAdd(sequence_.next_tile, 1);
    }
    index_ = __shfl_sync(~0u, index_, 0);
    position_.advance<TileRing::kStages>();
    return tile;
  }

 private:
  const Sequence& sequence_;
  TileRing& ring_;
  RingPosition position_;
  int index_;
};

// A consumer warp's end.
class TileSink {
 public:
  __device__ __forceinline__ explicit TileSink(TileRing& ring) : ring_(ring) {}

  __device__ __forceinline__ Tile take() {
    ring_.full[position_.stage].wait(position_.parity);
    const Tile tile = ring_.tiles[position_.stage];
    __syncwarp();
    if (lane() == 0) ring_.empty[position_.stage].arrive();
    position_.advance<TileRing::kStages>();
    return tile;
  }

 private:
  TileRing& ring_;
  RingPosition position_;
};

// One arrival for this warp on the barrier that frees a stage.
__device__ __forceinline__ void release(Barrier& empty) {
  __syncwarp();
  if (lane() == 0) empty.arrive();
}

// Loads kRows flat rows from `row` on, as [kDim / 64][kRows][64].
template <int kRows, int kDim>
__device__ __forceinline__ void load_rows(std::uint8_t* destination, const CUtensorMap& map,
                                          Barrier& full, const Sequence& sequence, int row,
                                          int slot) {
#pragma unroll
  for (int chunk = 0; chunk < kDim / kChunkColumns; ++chunk) {
#pragma unroll
    for (int box = 0; box < kRows / kBoxRows; ++box) {
      load_box(destination + (chunk * kRows + box * kBoxRows) * kRowBytes, map, full,
               chunk * kChunkColumns, 0, (row + box * kBoxRows) / sequence.rows_per_token, slot);
    }
  }
}

// The columns a row sees, both ends inclusive.
struct Span {
  int first, last;
};

// Minus infinity where a column lies outside its row's span. `column` is this thread's first.
template <int kCount>
__device__ __forceinline__ void mask(float (&scores)[kCount], int column, Span upper, Span lower) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const Span span = i % 4 < 2 ? upper : lower;
    const int offset = column + 8 * (i / 4) + i % 2 - span.first;
    const bool visible =
        static_cast<unsigned>(offset) <= static_cast<unsigned>(span.last - span.first);
    if (!visible) scores[i] = -INFINITY;
  }
}

// scores = a b^T over kDim channels: 64 rows of a, kBlockRows of b, tiles of kRowsA and kBlockRows.
template <int kDim, int kRowsA, int kBlockRows>
__device__ __forceinline__ void multiply_rows(float (&scores)[kBlockRows / 2], std::uint32_t a,
                                              std::uint32_t b) {
  const std::uint64_t a0 = row_operand(a), b0 = row_operand(b);
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    multiply(scores, a0 + row_operand_step(k, kRowsA), b0 + row_operand_step(k, kBlockRows), k > 0);
  }
}

// sum += weights b over kBlockRows rows of b.
template <int kDim, int kBlockRows>
__device__ __forceinline__ void multiply_columns(float (&sum)[kDim / 2],
                                                 const std::uint32_t (&weights)[kBlockRows / 4],
                                                 std::uint32_t b) {
  const std::uint64_t b0 = column_operand(b, kBlockRows);
#pragma unroll
  for (int k = 0; k < kBlockRows / 16; ++k) {
    multiply(sum, weights + 4 * k, b0 + column_operand_step(k), true);
  }
}

template <int kCount>
__device__ __forceinline__ void pack(std::uint32_t (&packed)[kCount / 2],
                                     const float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) packed[i] = pack_bf16(values[2 * i], values[2 * i + 1]);
}

// Writes one warpgroup's 64 x kDim sum, its rows scaled, to rows `row` ... of the tensor, by way of
// `staging`, [kDim / 64][64][64] of this warpgroup alone.
template <int kDim>
__device__ __forceinline__ void store_rows(const CUtensorMap& map, std::uint8_t* staging,
                                           const float (&sum)[kDim / 2], float scale_upper,
                                           float scale_lower, const Sequence& sequence, int row,
                                           int slot) {
  const int thread = static_cast<int>(threadIdx.x % 128);
  const int barrier = static_cast<int>(threadIdx.x / 128);
  if (thread == 0) wait_stores_read();
  synchronise_warpgroup(barrier);
  const int staged_row = thread / 32 * 16 + lane() % 16;
  const std::uint32_t base = shared_address(staging) + staged_row * kRowBytes;
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    const int unit = 2 * k + lane() / 16;
    const std::uint32_t address =
        base + (k / 4) * kWarpgroupRows * kRowBytes + ((unit % 8) ^ (staged_row % 8)) * 16;
    store_matrices(address, pack_bf16(sum[8 * k] * scale_upper, sum[8 * k + 1] * scale_upper),
                   pack_bf16(sum[8 * k + 2] * scale_lower, sum[8 * k + 3] * scale_lower),
                   pack_bf16(sum[8 * k + 4] * scale_upper, sum[8 * k + 5] * scale_upper),
                   pack_bf16(sum[8 * k + 6] * scale_lower, sum[8 * k + 7] * scale_lower));
  }
  fence_async_proxy();
  synchronise_warpgroup(barrier);
  if (thread == 0) {
#pragma unroll
    for (int chunk = 0; chunk < kDim / kChunkColumns; ++chunk) {
      store_box(map, staging + chunk * kWarpgroupRows * kRowBytes, chunk * kChunkColumns, 0,
                row / sequence.rows_per_token, slot);
    }
    commit_stores();
  }
}

// A block of 384 threads is given 168 registers a thread; the producer hands most of its own over.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

// The dynamic shared memory as a T, aligned for the swizzle.
template <typename T>
__device__ __forceinline__ T& shared_memory() {
  extern __shared__ std::uint8_t memory[];
  const std::uint32_t misaligned = shared_address(memory) % kSwizzleBytes;
  return *reinterpret_cast<T*>(memory + (misaligned ? kSwizzleBytes - misaligned : 0));
}
template <typename T>
constexpr int shared_bytes() {
  static_assert(sizeof(T) + kSwizzleBytes <= 232448, "more shared memory than a block can have");
  return static_cast<int>(sizeof(T)) + kSwizzleBytes;
}

}  // namespace pairedhead::gpu::attention
