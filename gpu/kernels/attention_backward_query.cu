#include "gpu/kernels/attention_backward.cuh"

// grad_query of a tile of 128 queries, over the blocks of 64 keys that they see; also delta.
namespace pairedhead::gpu::attention {

namespace {

constexpr int kBlockRows = 64;
constexpr int kStages = 2;

template <int kDim>
struct alignas(1024) QueryShared {
  std::uint8_t query[kTileRows * kDim * 2];
  std::uint8_t grad_y[kTileRows * kDim * 2];
  std::uint8_t y[kTileRows * kDim * 2];
  std::uint8_t grad_query[kTileRows * kDim * 2];
  std::uint8_t key[kStages][kBlockRows * kDim * 2];
  std::uint8_t value[kStages][kBlockRows * kDim * 2];
  float delta[2][kTileRows];        // of each half of the channels
  Barrier query_full, query_empty;  // query and grad_y
  Barrier y_full, y_empty;
  Barrier block_full[kStages], block_empty[kStages];
  TileRing tiles;

  __device__ __forceinline__ void init() {
    query_full.init(1);
    query_empty.init(kConsumerWarps);
    y_full.init(1);
    y_empty.init(kConsumerWarps);
    for (int stage = 0; stage < kStages; ++stage) {
      block_full[stage].init(1);
      block_empty[stage].init(kConsumerWarps);
    }
    tiles.init();
  }
};

template <int kDim>
__device__ __forceinline__ void produce(const BackwardArguments& arguments,
                                        QueryShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  TileSource tiles(sequence, shared.tiles);
  RingPosition position;
  std::uint32_t tile_parity = 0;
  while (true) {
    const Tile tile = tiles.take([&](Tile& described) {
      described.document = sequence.find_document(described.row);
      described.first_block = sequence.first_key(described.document, described.row) / kBlockRows;
      described.last_block = (min(described.row + kTileRows, sequence.rows) - 1) / kBlockRows;
    });
    if (tile.row < 0) return;
    if (lane() == 0) {
      shared.y_empty.wait(tile_parity ^ 1);
      shared.y_full.arrive_expecting(sizeof shared.y);
      load_rows<kTileRows, kDim>(shared.y, arguments.y, shared.y_full, sequence, tile.row,
                                 tile.slot);
      shared.query_empty.wait(tile_parity ^ 1);
      shared.query_full.arrive_expecting(sizeof shared.query + sizeof shared.grad_y);
      load_rows<kTileRows, kDim>(shared.grad_y, arguments.grad_y, shared.query_full, sequence,
                                 tile.row, tile.slot);
      load_rows<kTileRows, kDim>(shared.query, arguments.query, shared.query_full, sequence,
                                 tile.row, tile.slot);
      tile_parity ^= 1;
      for (int block = tile.first_block; block <= tile.last_block; ++block) {
        const int stage = position.stage, row = block * kBlockRows;
        Barrier& full = shared.block_full[stage];
        shared.block_empty[stage].wait(position.parity ^ 1);
        full.arrive_expecting(sizeof shared.key[stage] + sizeof shared.value[stage]);
        load_rows<kBlockRows, kDim>(shared.key[stage], arguments.key, full, sequence, row,
                                    tile.slot);
        load_rows<kBlockRows, kDim>(shared.value[stage], arguments.value, full, sequence, row,
                                    tile.slot);
        position.advance<kStages>();
      }
    }
    __syncwarp();
  }
}

// The sum of products of eight pairs of bf16.
__device__ __forceinline__ float dot(const uint4& a, const uint4& b) {
  const auto pair = [](std::uint32_t x, std::uint32_t y, float sum) {
    sum = fmaf(__uint_as_float(x << 16), __uint_as_float(y << 16), sum);
    return fmaf(__uint_as_float(x & 0xFFFF0000u), __uint_as_float(y & 0xFFFF0000u), sum);
  };
  return pair(a.w, b.w, pair(a.z, b.z, pair(a.y, b.y, pair(a.x, b.x, 0.0f))));
}

template <int kDim>
__device__ __forceinline__ void consume(const BackwardArguments& arguments,
                                        QueryShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
  const int thread = static_cast<int>(threadIdx.x % 128);
  const int own_row = thread / 32 * 16 + lane() / 4;
  const int own_column = lane() % 4 * 2;
  const int tile_offset = warpgroup * kWarpgroupRows * kRowBytes;
  const std::uint32_t query = shared_address(shared.query) + tile_offset;
  const std::uint32_t grad_y = shared_address(shared.grad_y) + tile_offset;
  std::uint8_t* staging = shared.grad_query + warpgroup * kWarpgroupRows * kDim * 2;
  const float scale_log2 = arguments.softmax_scale * kLog2E;

  TileSink tiles(shared.tiles);
  RingPosition position;
  std::uint32_t tile_parity = 0;
  while (true) {
    const Tile tile = tiles.take();
    if (tile.row < 0) break;

    const int row = tile.row + warpgroup * kWarpgroupRows;
    const int upper = row + own_row, lower = upper + 8, last_row = row + kWarpgroupRows - 1;
    int document = tile.document;
    const auto first_key = [&](int of_row) {
      document = sequence.find_document_after(document, min(of_row, sequence.rows - 1));
      return sequence.first_key(document, of_row);
    };
    const int warpgroup_first_key = first_key(row);
    const Span upper_span{first_key(upper), upper};
    const Span lower_span{first_key(lower), lower};
    const int full_from = first_key(last_row);

    const std::int64_t statistics = static_cast<std::int64_t>(tile.slot) * sequence.rows;
    const auto shift_of = [&](int of_row) {
      return of_row < sequence.rows ? arguments.logsumexp[statistics + of_row] * kLog2E : 0.0f;
    };
    const float shift_upper = shift_of(upper), shift_lower = shift_of(lower);

    shared.y_full.wait(tile_parity);
    shared.query_full.wait(tile_parity);
    tile_parity ^= 1;
    {
      // Each thread takes half of one row; the swizzle is the same in both tensors.
      const int delta_row = warpgroup * kWarpgroupRows + thread % kWarpgroupRows;
      const int half = thread / kWarpgroupRows;
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < kDim / 16; ++i) {
        const int unit = half * (kDim / 16) + i;
        const int offset =
            (unit / 8 * kTileRows + delta_row) * kRowBytes + ((unit % 8) ^ (delta_row % 8)) * 16;
        sum += dot(*reinterpret_cast<const uint4*>(shared.y + offset),
                   *reinterpret_cast<const uint4*>(shared.grad_y + offset));
      }
      shared.delta[half][delta_row] = sum;
      release(shared.y_empty);
      synchronise_warpgroup(warpgroup + 1);
    }
    const auto delta_of = [&](int tile_row) {
      return shared.delta[0][tile_row] + shared.delta[1][tile_row];
    };
    const float delta_upper = delta_of(upper - tile.row), delta_lower = delta_of(lower - tile.row);
    if (own_column == 0) {
      if (upper < sequence.rows) arguments.delta[statistics + upper] = delta_upper;
      if (lower < sequence.rows) arguments.delta[statistics + lower] = delta_lower;
    }

    float scores[kBlockRows / 2], grad_weights[kBlockRows / 2];
    float sum[kDim / 2] = {};
    std::uint32_t grad_scores[kBlockRows / 4];
    int unreleased = -1;  // the stage whose keys the last product may still read

    for (int block = tile.first_block; block <= tile.last_block; ++block) {
      const int first = block * kBlockRows, last = first + kBlockRows - 1;
      const int stage = position.stage;
      shared.block_full[stage].wait(position.parity);
      position.advance<kStages>();
      if (first > last_row || last < warpgroup_first_key) {
        multiply_wait<0>();
        if (unreleased >= 0) release(shared.block_empty[unreleased]);
        unreleased = -1;
        release(shared.block_empty[stage]);
        continue;
      }
      const std::uint32_t key = shared_address(shared.key[stage]);
      multiply_fence();
      multiply_rows<kDim, kTileRows, kBlockRows>(scores, query, key);
      multiply_commit();
      multiply_rows<kDim, kTileRows, kBlockRows>(grad_weights, grad_y,
                                                 shared_address(shared.value[stage]));
      multiply_commit();
      multiply_wait<1>();
      settle(scores);
      settle(sum);
      if (unreleased >= 0) release(shared.block_empty[unreleased]);
      unreleased = stage;
      if (first < full_from || last > row) {
        mask(scores, first + own_column, upper_span, lower_span);
      }
#pragma unroll
      for (int i = 0; i < kBlockRows / 2; ++i) {
        scores[i] =
            exp2_approximate(fmaf(scores[i], scale_log2, i % 4 < 2 ? -shift_upper : -shift_lower));
      }
      multiply_wait<0>();
      settle(grad_weights);
#pragma unroll
      for (int i = 0; i < kBlockRows / 2; ++i) {
        scores[i] *= grad_weights[i] - (i % 4 < 2 ? delta_upper : delta_lower);
      }
      pack(grad_scores, scores);
      settle(grad_scores);
      settle(sum);
      multiply_fence();
      multiply_columns<kDim, kBlockRows>(sum, grad_scores, key);
      multiply_commit();
    }
    multiply_wait<0>();
    settle(sum);
    if (unreleased >= 0) release(shared.block_empty[unreleased]);
    release(shared.query_empty);
    store_rows<kDim>(arguments.grad_query, staging, sum, arguments.softmax_scale,
                     arguments.softmax_scale, sequence, row, tile.slot);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read();
}

template <int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    backward_query_kernel(const __grid_constant__ BackwardArguments arguments) {
  auto& shared = shared_memory<QueryShared<kDim>>();
  if (threadIdx.x == 0) {
    shared.init();
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    shrink_registers<kProducerRegisters>();
    if (threadIdx.x < 32) produce(arguments, shared);
  } else {
    grow_registers<kConsumerRegisters>();
    consume(arguments, shared);
  }
}

}  // namespace

void launch_backward_query(const BackwardArguments& arguments, int head_dim, cudaStream_t stream) {
  if (head_dim <= 64) {
    launch<QueryShared<64>>(backward_query_kernel<64>, arguments, stream);
  } else {
    launch<QueryShared<128>>(backward_query_kernel<128>, arguments, stream);
  }
}

}  // namespace pairedhead::gpu::attention
