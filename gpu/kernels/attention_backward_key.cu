#include "gpu/kernels/attention_backward.cuh"

// grad_key and grad_value of a tile of 128 keys, over the blocks of 64 queries that see them.
// Scores and weights are computed transposed, keys along the rows, so that they are already the
// register operands of the products that follow.
namespace pairedhead::gpu::attention {

namespace {

using KeyTeam = Team<2>;
constexpr int kTileRows = KeyTeam::kTileRows;
constexpr int kBlockRows = 64;
constexpr int kStages = 3;

// Two sums of 64 x 128 leave the consumers no register to spare.
template <int kDim>
constexpr int kProducerRegisters = kDim == 128 ? 24 : KeyTeam::kProducerRegisters;
template <int kDim>
constexpr int kConsumerRegisters = kDim == 128 ? 240 : KeyTeam::kConsumerRegisters;

template <int kDim>
struct alignas(1024) KeyShared {
  std::uint8_t key[KeyTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t value[KeyTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t query[kStages][kBlockRows * kDim * 2];
  std::uint8_t grad_y[kStages][kBlockRows * kDim * 2];
  std::uint8_t grad_key[KeyTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t grad_value[KeyTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  float logsumexp[kStages][kBlockRows];
  float delta[kStages][kBlockRows];
  Barrier tile_full[KeyTeam::kWarpgroups], tile_empty[KeyTeam::kWarpgroups];
  Barrier block_full[kStages], block_empty[kStages];
  TileRing tiles;

  __device__ __forceinline__ void init() {
    for (int warpgroup = 0; warpgroup < KeyTeam::kWarpgroups; ++warpgroup) {
      tile_full[warpgroup].init(1);
      tile_empty[warpgroup].init(4);
    }
    for (int stage = 0; stage < kStages; ++stage) {
      block_full[stage].init(1 + 32);                 // the copy engine's and every lane's
      block_empty[stage].init(KeyTeam::kWarps * 32);  // every lane has read statistics
    }
    tiles.init(KeyTeam::kWarps + 2);  // and the loaders of tiles and of statistics
  }
};

template <int kDim>
__device__ __forceinline__ void load_blocks(const BackwardArguments& arguments,
                                            KeyShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  TileSource tiles(arguments.key_plan, sequence.slots, shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    for (int block = tile.first_block; block <= tile.last_block; ++block) {
      const int stage = position.stage, row = block * kBlockRows;
      Barrier& full = shared.block_full[stage];
      if (lane() == 0) {
        shared.block_empty[stage].wait(position.parity ^ 1);
        full.arrive_expecting(sizeof shared.query[stage] + sizeof shared.grad_y[stage]);
        load_rows<kBlockRows, kDim>(shared.query[stage], arguments.query, full, sequence, row,
                                    tile.slot);
        load_rows<kBlockRows, kDim>(shared.grad_y[stage], arguments.grad_y, full, sequence, row,
                                    tile.slot);
      }
      position.advance<kStages>();
    }
    __syncwarp();
  }
}

// logsumexp and delta of the streamed queries, zero beyond the sequence.
template <int kDim>
__device__ __forceinline__ void load_statistics(const BackwardArguments& arguments,
                                                KeyShared<kDim>& shared) {
  const int rows = arguments.sequence.rows;
  TileSink tiles(shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    const float* logsumexp = arguments.logsumexp + static_cast<std::int64_t>(tile.slot) * rows;
    const float* delta = arguments.delta + static_cast<std::int64_t>(tile.slot) * rows;
    const int end = (tile.last_block + 1) * kBlockRows;
#pragma unroll 1
    for (int row = tile.first_block * kBlockRows + lane(); row < end; row += kBlockRows) {
      const int stage = position.stage;
      shared.block_empty[stage].wait(position.parity ^ 1);
#pragma unroll
      for (int part = 0; part < kBlockRows; part += 32) {
        const bool valid = row + part < rows;
        const int index = valid ? row + part : 0;
        copy_word_async(shared.logsumexp[stage] + part + lane(), logsumexp + index, valid);
        copy_word_async(shared.delta[stage] + part + lane(), delta + index, valid);
      }
      shared.block_full[stage].arrive_after_copies();
      position.advance<kStages>();
    }
  }
}

template <int kDim>
__device__ __forceinline__ void load_tiles(const BackwardArguments& arguments,
                                           KeyShared<kDim>& shared) {
  TileSink tiles(shared.tiles);
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    if (lane() != 0) continue;
    for (int warpgroup = 0; warpgroup < KeyTeam::kWarpgroups; ++warpgroup) {
      Barrier& full = shared.tile_full[warpgroup];
      const int row = tile.row + warpgroup * kWarpgroupRows;
      shared.tile_empty[warpgroup].wait(tiles.parity() ^ 1);
      full.arrive_expecting(sizeof shared.key[warpgroup] + sizeof shared.value[warpgroup]);
      load_rows<kWarpgroupRows, kDim>(shared.key[warpgroup], arguments.key, full,
                                      arguments.sequence, row, tile.slot);
      load_rows<kWarpgroupRows, kDim>(shared.value[warpgroup], arguments.value, full,
                                      arguments.sequence, row, tile.slot);
    }
  }
}

template <int kDim>
__device__ __forceinline__ void consume(const BackwardArguments& arguments,
                                        KeyShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
  const int own_row = static_cast<int>(threadIdx.x % 128) / 32 * 16 + lane() / 4;
  const int own_column = lane() % 4 * 2;
  const std::uint32_t key = shared_address(shared.key[warpgroup]);
  const std::uint32_t value = shared_address(shared.value[warpgroup]);
  const float scale_log2 = arguments.softmax_scale * kLog2E;

  TileSink tiles(shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) break;

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

    int block = tile.first_block;
    const auto skip_block = [&] {  // one that only other warpgroups see
      shared.block_full[position.stage].wait(position.parity);
      shared.block_empty[position.stage].arrive();
      position.advance<kStages>();
      ++block;
    };
    while (block <= tile.last_block && (block + 1) * kBlockRows <= row) skip_block();
    shared.tile_full[warpgroup].wait(tiles.parity());
    int previous = -1;  // the stage whose queries the last product may still read
    while (block <= tile.last_block && block * kBlockRows <= warpgroup_last_query) {
      const int first = block * kBlockRows, stage = position.stage;
      shared.block_full[stage].wait(position.parity);
      const std::uint32_t query = shared_address(shared.query[stage]);
      const std::uint32_t grad_y = shared_address(shared.grad_y[stage]);
      multiply_fence();
      multiply_rows<kDim, kWarpgroupRows, kBlockRows>(scores, key, query);
      multiply_commit();
      multiply_wait<0>();
      settle(scores);
      settle(grad_key);
      settle(grad_value);
      if (previous >= 0) shared.block_empty[previous].arrive();
      previous = stage;
      multiply_fence();
      multiply_rows<kDim, kWarpgroupRows, kBlockRows>(grad_weights, value, grad_y);
      multiply_commit();
      if (first < last_row || first + kBlockRows - 1 > full_until) {
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
      position.advance<kStages>();
      ++block;
    }
    multiply_wait<0>();
    settle(grad_key);
    settle(grad_value);
    if (previous >= 0) shared.block_empty[previous].arrive();
    release(shared.tile_empty[warpgroup]);
    while (block <= tile.last_block) skip_block();
    store_rows<kDim>(arguments.grad_value, shared.grad_value[warpgroup], grad_value, 1.0f, 1.0f,
                     sequence, row, tile.slot);
    const float key_scale = planted(sequence.mutant, KernelMutant::key_gradient_unscaled)
                                ? 1.0f
                                : arguments.softmax_scale;
    store_rows<kDim>(arguments.grad_key, shared.grad_key[warpgroup], grad_key, key_scale, key_scale,
                     sequence, row, tile.slot);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read();
}

template <int kDim>
__global__ void __launch_bounds__(KeyTeam::kThreads, 1)
    backward_key_kernel(const __grid_constant__ BackwardArguments arguments) {
  auto& shared = shared_memory<KeyShared<kDim>>();
  if (threadIdx.x == 0) {
    shared.init();
    fence_barrier_init();
  }
  __syncthreads();
  wait_for_kernel_before();
  if (threadIdx.x < 128) {
    shrink_registers<kProducerRegisters<kDim>>();
    if (threadIdx.x < 32) {
      load_blocks(arguments, shared);
    } else if (threadIdx.x < 64) {
      load_tiles(arguments, shared);
    } else if (threadIdx.x < 96) {
      load_statistics(arguments, shared);
    }
  } else {
    grow_registers<kConsumerRegisters<kDim>>();
    consume(arguments, shared);
  }
}

}  // namespace

PlanRequest request_key_plan(const Workspace& workspace, const Sequence& sequence) {
  return {workspace.plan(1, sequence, kTileRows), kTileRows, std::countr_zero(unsigned{kBlockRows}),
          false};
}

void launch_backward_key(const BackwardArguments& arguments, int head_dim, cudaStream_t stream) {
  const int tiles = arguments.key_plan.count * arguments.sequence.slots;
  if (head_dim <= 64) {
    launch<KeyTeam, KeyShared<64>>(backward_key_kernel<64>, arguments, tiles, stream);
  } else {
    launch<KeyTeam, KeyShared<128>>(backward_key_kernel<128>, arguments, tiles, stream);
  }
}

}  // namespace pairedhead::gpu::attention
