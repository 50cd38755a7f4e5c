#include "gpu/kernels/attention_backward.cuh"

// grad_query of a tile of 128 queries, over the blocks of 64 keys that they see; also delta.
namespace pairedhead::gpu::attention {

namespace {

using QueryTeam = Team<2>;
constexpr int kTileRows = QueryTeam::kTileRows;
constexpr int kBlockRows = 64;
constexpr int kStages = 4;

template <int kDim>
struct alignas(1024) QueryShared {
  std::uint8_t query[QueryTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t grad_y[QueryTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t grad_query[QueryTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t key[kStages][kBlockRows * kDim * 2];
  std::uint8_t value[kStages][kBlockRows * kDim * 2];
  float delta[QueryTeam::kTileRows];
  Barrier tile_full[QueryTeam::kWarpgroups], tile_empty[QueryTeam::kWarpgroups];
  Barrier block_full[kStages], block_empty[kStages];
  TileRing tiles;

  __device__ __forceinline__ void init() {
    for (int warpgroup = 0; warpgroup < QueryTeam::kWarpgroups; ++warpgroup) {
      tile_full[warpgroup].init(1);
      tile_empty[warpgroup].init(4);
    }
    for (int stage = 0; stage < kStages; ++stage) {
      block_full[stage].init(1);
      block_empty[stage].init(QueryTeam::kWarps);
    }
    tiles.init(QueryTeam::kWarps + 1);  // and the loader of tiles
  }
};

template <int kDim>
__device__ __forceinline__ void load_blocks(const BackwardArguments& arguments,
                                            QueryShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  TileSource tiles(arguments.query_plan, sequence.slots, shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    for (int block = tile.first_block; block <= tile.last_block; ++block) {
      const int stage = position.stage, row = block * kBlockRows;
      if (lane() == 0) {
        Barrier& full = shared.block_full[stage];
        shared.block_empty[stage].wait(position.parity ^ 1);
        full.arrive_expecting(sizeof shared.key[stage] + sizeof shared.value[stage]);
        load_rows<kBlockRows, kDim>(shared.key[stage], arguments.key, full, sequence, row,
                                    tile.slot);
        load_rows<kBlockRows, kDim>(shared.value[stage], arguments.value, full, sequence, row,
                                    tile.slot);
      }
      position.advance<kStages>();
    }
    __syncwarp();
  }
}

template <int kDim>
__device__ __forceinline__ void load_tiles(const BackwardArguments& arguments,
                                           QueryShared<kDim>& shared) {
  TileSink tiles(shared.tiles);
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    if (lane() != 0) continue;
    for (int warpgroup = 0; warpgroup < QueryTeam::kWarpgroups; ++warpgroup) {
      Barrier& full = shared.tile_full[warpgroup];
      const int row = tile.row + warpgroup * kWarpgroupRows;
      shared.tile_empty[warpgroup].wait(tiles.parity() ^ 1);
      full.arrive_expecting(sizeof shared.query[warpgroup] + sizeof shared.grad_y[warpgroup]);
      load_rows<kWarpgroupRows, kDim>(shared.grad_y[warpgroup], arguments.grad_y, full,
                                      arguments.sequence, row, tile.slot);
      load_rows<kWarpgroupRows, kDim>(shared.query[warpgroup], arguments.query, full,
                                      arguments.sequence, row, tile.slot);
    }
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

// delta = sum over channels of grad_y * y for the 16 rows of this warp, into shared memory.
// Adjacent lanes take adjacent units of 8 channels, grad_y from the swizzled tile and y from global
// memory.
template <int kDim>
__device__ __forceinline__ void compute_delta(const BackwardArguments& arguments,
                                              QueryShared<kDim>& shared, const SlotTile& tile,
                                              int warpgroup, std::uint32_t tile_parity) {
  constexpr int kUnits = kDim / 8, kRowsPerPass = 32 / kUnits, kPasses = 16 / kRowsPerPass;
  const HeadView& y = arguments.y;
  const int shift = arguments.sequence.token_shift;
  const int unit = lane() % kUnits;
  const int first_row = static_cast<int>(threadIdx.x % 128) / 32 * 16 + lane() / kUnits;
  uint4 channels[kPasses];
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const int row = tile.row + warpgroup * kWarpgroupRows + first_row + pass * kRowsPerPass;
    channels[pass] = uint4{};
    if (row < arguments.sequence.rows && unit * 8 < arguments.head_dim) {
      channels[pass] = *reinterpret_cast<const uint4*>(y.data + (row >> shift) * y.stride_token +
                                                       (row & ((1 << shift) - 1)) * y.stride_row +
                                                       tile.slot * y.stride_slot + unit * 8);
    }
  }
  shared.tile_full[warpgroup].wait(tile_parity);
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const int row = first_row + pass * kRowsPerPass;
    const int offset =
        (unit / 8 * kWarpgroupRows + row) * kRowBytes + ((unit % 8) ^ (row % 8)) * 16;
    float sum =
        dot(channels[pass], *reinterpret_cast<const uint4*>(shared.grad_y[warpgroup] + offset));
#pragma unroll
    for (int distance = kUnits / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(~0u, sum, distance);
    }
    if (planted(arguments.sequence.mutant, KernelMutant::delta_missing)) sum = 0.0f;
    if (unit == 0) shared.delta[warpgroup * kWarpgroupRows + row] = sum;
  }
  __syncwarp();
}

template <int kDim>
__device__ __forceinline__ void consume(const BackwardArguments& arguments,
                                        QueryShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
  const int own_row = static_cast<int>(threadIdx.x % 128) / 32 * 16 + lane() / 4;
  const int own_column = lane() % 4 * 2;
  const float scale_log2 = arguments.softmax_scale * kLog2E;

  TileSink tiles(shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) break;

    compute_delta(arguments, shared, tile, warpgroup, tiles.parity());
    const float* delta = shared.delta + warpgroup * kWarpgroupRows + own_row;
    const float delta_upper = delta[0], delta_lower = delta[8];
    const std::uint32_t query = shared_address(shared.query[warpgroup]);
    const std::uint32_t grad_y = shared_address(shared.grad_y[warpgroup]);

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
    if (own_column == 0) {
      if (upper < sequence.rows) arguments.delta[statistics + upper] = delta_upper;
      if (lower < sequence.rows) arguments.delta[statistics + lower] = delta_lower;
    }

    float scores[kBlockRows / 2], grad_weights[kBlockRows / 2];
    float sum[kDim / 2] = {};
    std::uint32_t grad_scores[kBlockRows / 4];

    int block = tile.first_block;
    const auto skip_block = [&] {  // one that only other warpgroups see
      shared.block_full[position.stage].wait(position.parity);
      release(shared.block_empty[position.stage]);
      position.advance<kStages>();
      ++block;
    };
    while (block <= tile.last_block && (block + 1) * kBlockRows <= warpgroup_first_key) {
      skip_block();
    }
    int previous = -1;  // the stage whose keys the last product may still read
    while (block <= tile.last_block && block * kBlockRows <= last_row) {
      const int first = block * kBlockRows, stage = position.stage;
      const std::uint32_t key = shared_address(shared.key[stage]);
      shared.block_full[stage].wait(position.parity);
      multiply_fence();
      multiply_rows<kDim, kWarpgroupRows, kBlockRows>(scores, query, key);
      multiply_commit();
      multiply_wait<0>();
      settle(scores);
      settle(sum);
      if (previous >= 0) release(shared.block_empty[previous]);
      previous = stage;
      multiply_fence();
      multiply_rows<kDim, kWarpgroupRows, kBlockRows>(grad_weights, grad_y,
                                                      shared_address(shared.value[stage]));
      multiply_commit();
      if (first < full_from || first + kBlockRows - 1 > row) {
        mask(scores, first + own_column, upper_span, lower_span);
      }
#pragma unroll
      for (int i = 0; i < kBlockRows / 2; ++i) {
        const float shift = i % 4 < 2 ? shift_upper : shift_lower;
        scores[i] = exp2_approximate(fmaf(scores[i], scale_log2, -shift));
      }
      settle(scores);
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
      position.advance<kStages>();
      ++block;
    }
    multiply_wait<0>();
    settle(sum);
    if (previous >= 0) release(shared.block_empty[previous]);
    release(shared.tile_empty[warpgroup]);
    while (block <= tile.last_block) skip_block();
    store_rows<kDim>(arguments.grad_query, shared.grad_query[warpgroup], sum,
                     arguments.softmax_scale, arguments.softmax_scale, sequence, row, tile.slot);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read();
}

template <int kDim>
__global__ void __launch_bounds__(QueryTeam::kThreads, 1)
    backward_query_kernel(const __grid_constant__ BackwardArguments arguments) {
  auto& shared = shared_memory<QueryShared<kDim>>();
  if (threadIdx.x == 0) {
    shared.init();
    fence_barrier_init();
  }
  __syncthreads();
  let_next_kernel_start();
  wait_for_kernel_before();
  if (threadIdx.x < 128) {
    shrink_registers<QueryTeam::kProducerRegisters>();
    if (threadIdx.x < 32) {
      load_blocks(arguments, shared);
    } else if (threadIdx.x < 64) {
      load_tiles(arguments, shared);
    }
  } else {
    grow_registers<QueryTeam::kConsumerRegisters>();
    consume(arguments, shared);
  }
}

}  // namespace

PlanRequest request_query_plan(const Workspace& workspace, const Sequence& sequence) {
  return {workspace.plan(0, sequence, kTileRows), kTileRows, std::countr_zero(unsigned{kBlockRows}),
          true};
}

void launch_backward_query(const BackwardArguments& arguments, int head_dim, cudaStream_t stream) {
  const int tiles = arguments.query_plan.count * arguments.sequence.slots;
  if (head_dim <= 64) {
    launch<QueryTeam, QueryShared<64>>(backward_query_kernel<64>, arguments, tiles, stream);
  } else {
    launch<QueryTeam, QueryShared<128>>(backward_query_kernel<128>, arguments, tiles, stream);
  }
}

}  // namespace pairedhead::gpu::attention
