#include "gpu/kernels/attention_backward.cuh"

// grad_key and grad_value of a tile of 128 keys, over the blocks of 64 queries that see them.
// Scores and weights are computed transposed, keys along the rows, so that they are already the
// register operands of the products that follow.
namespace pairedhead::gpu::attention {

namespace {

constexpr int kBlockRows = 64;
constexpr int kStages = 2;

// Two sums of 64 x 128 leave the consumers no register to spare.
template <int kDim>
constexpr int kProducerRegisters = kDim == 128 ? 24 : 40;
template <int kDim>
constexpr int kConsumerRegisters = kDim == 128 ? 240 : 232;

template <int kDim>
struct alignas(1024) KeyShared {
  std::uint8_t key[kTileRows * kDim * 2];
  std::uint8_t value[kTileRows * kDim * 2];
  std::uint8_t query[kStages][kBlockRows * kDim * 2];
  std::uint8_t grad_y[kStages][kBlockRows * kDim * 2];
  std::uint8_t grad_key[kTileRows * kDim * 2];
  std::uint8_t grad_value[kTileRows * kDim * 2];
  float logsumexp[kStages][kBlockRows];
  float delta[kStages][kBlockRows];
  Barrier key_full, key_empty;  // key and value
  Barrier block_full[kStages], block_empty[kStages];
  TileRing tiles;

  __device__ __forceinline__ void init() {
    key_full.init(1);
    key_empty.init(kConsumerWarps);
    for (int stage = 0; stage < kStages; ++stage) {
      block_full[stage].init(1 + 32);  // the copy engine's and every producer lane's copies
      block_empty[stage].init(kConsumerWarps);
    }
    tiles.init();
  }
};

template <int kDim>
__device__ __forceinline__ void produce(const BackwardArguments& arguments,
                                        KeyShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  TileSource tiles(sequence, shared.tiles);
  RingPosition position;
  std::uint32_t tile_parity = 0;
  while (true) {
    const Tile tile = tiles.take([&](Tile& described) {
      described.document = sequence.find_document(described.row);
      const int last_row = min(described.row + kTileRows, sequence.rows) - 1;
      described.first_block = described.row / kBlockRows;
      described.last_block =
          sequence.last_query(sequence.find_document(last_row), last_row) / kBlockRows;
    });
    if (tile.row < 0) return;
    if (lane() == 0) {
      shared.key_empty.wait(tile_parity ^ 1);
      shared.key_full.arrive_expecting(sizeof shared.key + sizeof shared.value);
      load_rows<kTileRows, kDim>(shared.key, arguments.key, shared.key_full, sequence, tile.row,
                                 tile.slot);
      load_rows<kTileRows, kDim>(shared.value, arguments.value, shared.key_full, sequence, tile.row,
                                 tile.slot);
    }
    tile_parity ^= 1;
    const std::int64_t statistics = static_cast<std::int64_t>(tile.slot) * sequence.rows;
    for (int block = tile.first_block; block <= tile.last_block; ++block) {
      const int stage = position.stage, row = block * kBlockRows;
      Barrier& full = shared.block_full[stage];
      shared.block_empty[stage].wait(position.parity ^ 1);
      if (lane() == 0) {
        full.arrive_expecting(sizeof shared.query[stage] + sizeof shared.grad_y[stage]);
        load_rows<kBlockRows, kDim>(shared.query[stage], arguments.query, full, sequence, row,
                                    tile.slot);
        load_rows<kBlockRows, kDim>(shared.grad_y[stage], arguments.grad_y, full, sequence, row,
                                    tile.slot);
      }
      for (int i = lane(); i < kBlockRows; i += 32) {
        const bool valid = row + i < sequence.rows;
        const std::int64_t offset = valid ? statistics + row + i : 0;
        copy_word_async(shared.logsumexp[stage] + i, arguments.logsumexp + offset, valid);
        copy_word_async(shared.delta[stage] + i, arguments.delta + offset, valid);
      }
      full.arrive_after_copies();
      position.advance<kStages>();
    }
    __syncwarp();
  }
}

template <int kDim>
__device__ __forceinline__ void consume(const BackwardArguments& arguments,
                                        KeyShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
  const int own_row = static_cast<int>(threadIdx.x % 128) / 32 * 16 + lane() / 4;
  const int own_column = lane() % 4 * 2;
  const int tile_offset = warpgroup * kWarpgroupRows * kRowBytes;
  const std::uint32_t key = shared_address(shared.key) + tile_offset;
  const std::uint32_t value = shared_address(shared.value) + tile_offset;
  const int staging_offset = warpgroup * kWarpgroupRows * kDim * 2;
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
    const auto last_query = [&](int of_row) {
      const int inside = min(of_row, sequence.rows - 1);
      document = sequence.find_document_after(document, inside);
      return max(sequence.last_query(document, inside), of_row);
    };
    const int full_until = last_query(row);
    const Span upper_span{upper, last_query(upper)};
    const Span lower_span{lower, last_query(lower)};
    const int warpgroup_last_query = last_query(last_row);

    float scores[kBlockRows / 2], grad_weights[kBlockRows / 2];
    float grad_key[kDim / 2] = {}, grad_value[kDim / 2] = {};
    std::uint32_t weights[kBlockRows / 4], grad_scores[kBlockRows / 4];
    int unreleased = -1;  // the stage whose queries the last product may still read

    shared.key_full.wait(tile_parity);
    tile_parity ^= 1;
    for (int block = tile.first_block; block <= tile.last_block; ++block) {
      const int first = block * kBlockRows, last = first + kBlockRows - 1;
      const int stage = position.stage;
      shared.block_full[stage].wait(position.parity);
      position.advance<kStages>();
      if (last < row || first > warpgroup_last_query) {
        multiply_wait<0>();
        if (unreleased >= 0) release(shared.block_empty[unreleased]);
        unreleased = -1;
        release(shared.block_empty[stage]);
        continue;
      }
      const std::uint32_t query = shared_address(shared.query[stage]);
      const std::uint32_t grad_y = shared_address(shared.grad_y[stage]);
      multiply_fence();
      multiply_rows<kDim, kTileRows, kBlockRows>(scores, key, query);
      multiply_commit();
      multiply_wait<0>();
      settle(scores);
      settle(grad_key);
      settle(grad_value);
      if (unreleased >= 0) release(shared.block_empty[unreleased]);
      unreleased = stage;
      multiply_fence();
      multiply_rows<kDim, kTileRows, kBlockRows>(grad_weights, value, grad_y);
      multiply_commit();
      if (first < last_row || last > full_until) {
        mask(scores, first + own_column, upper_span, lower_span);
      }
#pragma unroll
      for (int j = 0; j < kBlockRows / 8; ++j) {
        const float2 logsumexp =
            *reinterpret_cast<const float2*>(shared.logsumexp[stage] + 8 * j + own_column);
        const float shift[2] = {logsumexp.x * kLog2E, logsumexp.y * kLog2E};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& score = scores[4 * j + i];
          score = exp2_approximate(fmaf(score, scale_log2, -shift[i % 2]));
        }
      }
      pack(weights, scores);
      settle(weights);
      multiply_fence();
      multiply_columns<kDim, kBlockRows>(grad_value, weights, grad_y);
      multiply_commit();
      multiply_wait<1>();
      settle(grad_weights);
#pragma unroll
      for (int j = 0; j < kBlockRows / 8; ++j) {
        const float2 pair =
            *reinterpret_cast<const float2*>(shared.delta[stage] + 8 * j + own_column);
        const float delta[2] = {pair.x, pair.y};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          scores[4 * j + i] *= grad_weights[4 * j + i] - delta[i % 2];
        }
      }
      pack(grad_scores, scores);
      settle(grad_scores);
      multiply_fence();
      multiply_columns<kDim, kBlockRows>(grad_key, grad_scores, query);
      multiply_commit();
    }
    multiply_wait<0>();
    settle(grad_key);
    settle(grad_value);
    if (unreleased >= 0) release(shared.block_empty[unreleased]);
    release(shared.key_empty);
    store_rows<kDim>(arguments.grad_value, shared.grad_value + staging_offset, grad_value, 1.0f,
                     1.0f, sequence, row, tile.slot);
    store_rows<kDim>(arguments.grad_key, shared.grad_key + staging_offset, grad_key,
                     arguments.softmax_scale, arguments.softmax_scale, sequence, row, tile.slot);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read();
}

template <int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    backward_key_kernel(const __grid_constant__ BackwardArguments arguments) {
  auto& shared = shared_memory<KeyShared<kDim>>();
  if (threadIdx.x == 0) {
    shared.init();
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    shrink_registers<kProducerRegisters<kDim>>();
    if (threadIdx.x < 32) produce(arguments, shared);
  } else {
    grow_registers<kConsumerRegisters<kDim>>();
    consume(arguments, shared);
  }
}

}  // namespace

void launch_backward_key(const BackwardArguments& arguments, int head_dim, cudaStream_t stream) {
  if (head_dim <= 64) {
    launch<KeyShared<64>>(backward_key_kernel<64>, arguments, stream);
  } else {
    launch<KeyShared<128>>(backward_key_kernel<128>, arguments, stream);
  }
}

}  // namespace pairedhead::gpu::attention
