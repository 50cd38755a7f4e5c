#pragma once

#include <cuda.h>

#include "gpu/kernels/hopper.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/tensor_map.h"
#include "gpu/kernels/warpgroup_multiply.cuh"

// What the attention kernels share. All flat rows of a slot are one sequence cut into tiles of 128
// or 192 rows; documents and the window only bound the keys a row sees, lo(R) <= S <= R with
// lo(R) = max(document begin, R - window), which never decreases with R. A block of threads is a
// producer, whose first warp loads the streamed blocks and whose second loads the tiles that stay,
// and warpgroups that own 64 rows of the tile each.
namespace pairedhead::gpu::attention {

using namespace hopper;

constexpr int kWarpgroupRows = 64;
constexpr float kLog2E = 1.4426950408889634f;

// How a kernel's threads divide: a producer and kWarpgroups consumers, which own a tile together.
// Threads are equal at launch; then the producer hands most of its registers to the consumers.
template <int kWarpgroups_>
struct Team {
  static constexpr int kWarpgroups = kWarpgroups_;
  static constexpr int kThreads = 128 * (1 + kWarpgroups);
  static constexpr int kWarps = 4 * kWarpgroups;  // arrivals that free a stage
  static constexpr int kTileRows = kWarpgroupRows * kWarpgroups;
  static constexpr int kProducerRegisters = kWarpgroups == 2 ? 40 : 32;
  static constexpr int kConsumerRegisters = kWarpgroups == 2 ? 232 : 160;
};

// The sizes every kernel needs, in flat rows.
struct Sequence {
  const std::int32_t* cu_seqlens;
  int entries;
  int token_shift;  // log2 of the rows per token
  int rows, slots, window;
  KernelMutant mutant;

  __device__ __forceinline__ int document_begin(int document) const {
    return cu_seqlens[document] << token_shift;
  }
  // The document of `row`. Of repeated entries the last counts, which passes over empty documents.
  __device__ __forceinline__ int find_document(int row) const {
    int at_or_before = 0, after = entries;
    while (after - at_or_before > 1) {
      const int middle = (at_or_before + after) / 2;
      (document_begin(middle) <= row ? at_or_before : after) = middle;
    }
    return at_or_before;
  }
  // The same, searched upwards from a document at or before it.
  __device__ __forceinline__ int find_document_after(int document, int row) const {
    while (document_begin(document + 1) <= row) ++document;
    return document;
  }
  __device__ __forceinline__ int first_key(int document, int row) const {
    const int begin =
        planted(mutant, KernelMutant::crosses_documents) ? 0 : document_begin(document);
    return max(begin, row - window);
  }
  __device__ __forceinline__ int last_query(int document, int row) const {
    const int end =
        planted(mutant, KernelMutant::crosses_documents) ? rows : document_begin(document + 1);
    return min(end - 1, row + window);
  }
};

// One tile of work: its first row, that row's document, and the blocks of the other side it meets.
struct alignas(16) Tile {
  int row, document, first_block, last_block;
};
struct SlotTile : Tile {
  int slot;
};
constexpr int kNoTile = -1;  // as row: there is no more work

// A kernel's tiles in the order of work, the cheapest last, so that all blocks finish together;
// each serves all slots in turn.
struct Plan {
  Tile* tiles;
  int count;
  int* next;  // tiles times slots handed out beyond the first of each block
};

// How the block loader tells the others which tile comes next, two tiles ahead at most.
struct TileRing {
  static constexpr int kStages = 2;
  Barrier full[kStages], empty[kStages];
  SlotTile tiles[kStages];

  __device__ __forceinline__ void init(int reading_warps) {
    for (int stage = 0; stage < kStages; ++stage) {
      full[stage].init(1);
      empty[stage].init(reading_warps);
    }
  }
};

__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % 32); }

// The block loader's end of the ring. Tiles beyond a block's first are handed out by a counter to
// whichever block is free: documents make their costs uneven. Which block computes a tile changes
// no bit of it.
class TileSource {
 public:
  __device__ __forceinline__ TileSource(const Plan& plan, int slots, TileRing& ring)
      : plan_(plan), slots_(slots), ring_(ring), index_(static_cast<int>(blockIdx.x)) {}

  __device__ __forceinline__ SlotTile take() {
    SlotTile tile{{kNoTile, 0, 0, 0}, 0};
    if (index_ < plan_.count * slots_) {
      static_cast<Tile&>(tile) = plan_.tiles[index_ / slots_];
      tile.slot = index_ % slots_;
    }
    ring_.empty[position_.stage].wait(position_.parity ^ 1);
    if (lane() == 0) {
      ring_.tiles[position_.stage] = tile;
      ring_.full[position_.stage].arrive();
      index_ = static_cast<int>(gridDim.x) + atomicAdd(plan_.next, 1);
    }
    index_ = __shfl_sync(~0u, index_, 0);
    position_.advance<TileRing::kStages>();
    return tile;
  }

 private:
  const Plan& plan_;
  int slots_;
  TileRing& ring_;
  RingPosition position_;
  int index_;
};

// The end of every other warp.
class TileSink {
 public:
  __device__ __forceinline__ explicit TileSink(TileRing& ring) : ring_(ring) {}

  __device__ __forceinline__ SlotTile take() {
    const int stage = taken_ % TileRing::kStages;
    ring_.full[stage].wait(taken_ / TileRing::kStages % 2);
    const SlotTile tile = ring_.tiles[stage];
    __syncwarp();
    if (lane() == 0) ring_.empty[stage].arrive();
    ++taken_;
    return tile;
  }
  // The parity of the barriers that are filled once a tile, for the last one taken.
  __device__ __forceinline__ std::uint32_t parity() const { return (taken_ - 1) % 2; }

 private:
  TileRing& ring_;
  unsigned taken_ = 0;
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
               chunk * kChunkColumns, 0, (row + box * kBoxRows) >> sequence.token_shift, slot);
    }
  }
}

// The columns a row sees, both ends inclusive.
struct Span {
  int first, last;
};

// How many of a thread's kCount columns of one row, 8j and 8j + 1, lie below `bound`.
template <int kCount>
__device__ __forceinline__ int columns_below(int bound) {
  const int inside = max(bound, 0);
  return min(2 * (inside / 8) + min(inside % 8, 2), kCount);
}

// Minus infinity where a column lies outside its row's span. `column` is this thread's first. What
// a row sees is one run of columns, so its mask is one word, whose bits become predicates at once.
template <int kCount>
__device__ __forceinline__ void mask(float (&scores)[kCount], int column, Span upper, Span lower) {
  static_assert(kCount <= 64);
  const auto visible = [&](Span span) {
    const int begin = columns_below<kCount / 2>(span.first - column);
    const int end = columns_below<kCount / 2>(span.last + 1 - column);
    return bit_run(begin, max(end - begin, 0));
  };
  const std::uint32_t bits[2] = {visible(upper), visible(lower)};
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int bit = i / 4 * 2 + i % 2;
    if ((bits[i % 4 / 2] & (1u << bit)) == 0) scores[i] = -INFINITY;
  }
}

// scores = a b^T over kDim channels: 64 rows of a, kBlockRows of b, tiles of kRowsA and kBlockRows.
// a stays in shared memory: held in registers across the loop over blocks it was no faster, since
// such a multiply holds up its warp, and ptxas 13.0 once gave those registers away inside the loop.
template <int kDim, int kRowsA, int kBlockRows>
__device__ __forceinline__ void multiply_rows(float (&scores)[kBlockRows / 2], std::uint32_t a,
                                              std::uint32_t b) {
  const std::uint32_t a0 = row_operand(a), b0 = row_operand(b);
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
  const std::uint32_t b0 = column_operand(b, kBlockRows);
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

// Where this lane finds its row of the 16 x 16 matrix k of its warp's 16 rows, for store_matrices,
// in a warpgroup's tile [kDim / 64][64][64].
__device__ __forceinline__ std::uint32_t matrix_address(std::uint32_t tile, int k) {
  const int row = static_cast<int>(threadIdx.x % 128) / 32 * 16 + lane() % 16;
  const int unit = k % 4 * 2 + lane() / 16;
  return tile + (k / 4 * kWarpgroupRows + row) * kRowBytes + (unit ^ (row % 8)) * 16;
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
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    store_matrices(matrix_address(shared_address(staging), k),
                   pack_bf16(sum[8 * k] * scale_upper, sum[8 * k + 1] * scale_upper),
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
                row >> sequence.token_shift, slot);
    }
    commit_stores();
  }
}

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
