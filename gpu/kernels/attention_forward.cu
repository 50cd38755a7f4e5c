#include "gpu/kernels/attention_launch.h"

// Softmax attention over documents and a window, SPEC §3.6.6 and §3.7, one pass with the running
// maximum and sum of each row. Keys come in blocks of 64, the newest first, so that the first
// block of every row holds the row itself and its maximum is finite from then on.
namespace pairedhead::gpu {

namespace attention {
namespace {

using ForwardTeam = Team<3>;
constexpr int kTileRows = ForwardTeam::kTileRows;
constexpr int kBlockRows = 64;
constexpr int kStages = 4;

struct ForwardArguments {
  CUtensorMap query, key, value, y;
  Sequence sequence;
  Plan plan;
  float softmax_scale;
  float* logsumexp;  // [slots, rows]
};

template <int kDim>
struct alignas(1024) ForwardShared {
  std::uint8_t query[ForwardTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  std::uint8_t key[kStages][kBlockRows * kDim * 2];
  std::uint8_t value[kStages][kBlockRows * kDim * 2];
  std::uint8_t y[ForwardTeam::kWarpgroups][kWarpgroupRows * kDim * 2];
  Barrier query_full[ForwardTeam::kWarpgroups], query_empty[ForwardTeam::kWarpgroups];
  Barrier key_full[kStages], key_empty[kStages];
  Barrier value_full[kStages], value_empty[kStages];
  TileRing tiles;

  __device__ __forceinline__ void init() {
    for (int warpgroup = 0; warpgroup < ForwardTeam::kWarpgroups; ++warpgroup) {
      query_full[warpgroup].init(1);
      query_empty[warpgroup].init(4);
    }
    for (int stage = 0; stage < kStages; ++stage) {
      key_full[stage].init(1);
      key_empty[stage].init(ForwardTeam::kWarps);
      value_full[stage].init(1);
      value_empty[stage].init(ForwardTeam::kWarps);
    }
    tiles.init(ForwardTeam::kWarps + 1);  // and the loader of tiles
  }
};

template <int kDim>
__device__ __forceinline__ void load_blocks(const ForwardArguments& arguments,
                                            ForwardShared<kDim>& shared) {
  TileSource tiles(arguments.plan, arguments.sequence.slots, shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    for (int block = tile.last_block; block >= tile.first_block; --block) {
      const int stage = position.stage, row = block * kBlockRows;
      if (lane() == 0) {
        shared.key_empty[stage].wait(position.parity ^ 1);
        shared.key_full[stage].arrive_expecting(sizeof shared.key[stage]);
        load_rows<kBlockRows, kDim>(shared.key[stage], arguments.key, shared.key_full[stage],
                                    arguments.sequence, row, tile.slot);
        shared.value_empty[stage].wait(position.parity ^ 1);
        shared.value_full[stage].arrive_expecting(sizeof shared.value[stage]);
        load_rows<kBlockRows, kDim>(shared.value[stage], arguments.value, shared.value_full[stage],
                                    arguments.sequence, row, tile.slot);
      }
      position.advance<kStages>();
    }
    __syncwarp();
  }
}

template <int kDim>
__device__ __forceinline__ void load_tiles(const ForwardArguments& arguments,
                                           ForwardShared<kDim>& shared) {
  TileSink tiles(shared.tiles);
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) return;
    if (lane() != 0) continue;
    // The last warpgroup sees the first block to arrive.
    for (int warpgroup = ForwardTeam::kWarpgroups - 1; warpgroup >= 0; --warpgroup) {
      Barrier& full = shared.query_full[warpgroup];
      shared.query_empty[warpgroup].wait(tiles.parity() ^ 1);
      full.arrive_expecting(sizeof shared.query[warpgroup]);
      load_rows<kWarpgroupRows, kDim>(shared.query[warpgroup], arguments.query, full,
                                      arguments.sequence, tile.row + warpgroup * kWarpgroupRows,
                                      tile.slot);
    }
  }
}

// The running softmax of this thread's two rows. Weights are relative to `reference`, the row's
// maximum so far. Raising it only when it grows by a large factor would spare most rescalings, but
// the largest weight would then no longer be exactly 1, and rounding it to bf16 put rows of few
// keys up to 50 sigma off.
struct RunningSoftmax {
  float scale_log2;
  float reference[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};
  float decay[2];  // what the last block did to the weights of the earlier ones

  // Turns a block's scores into weights; whether any row of this warp raised its reference.
  template <int kCount>
  __device__ __forceinline__ bool weigh(float (&scores)[kCount]) {
    bool raised = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = fmaxf(scores[2 * half], scores[2 * half + 1]);
#pragma unroll
      for (int i = 4 + 2 * half; i < kCount; i += 4) {
        top = fmaxf(top, fmaxf(scores[i], scores[i + 1]));
      }
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      const bool raise = top > reference[half];
      const float next = raise ? top : reference[half];
      decay[half] = exp2_approximate((reference[half] - next) * scale_log2);
      reference[half] = next;
      raised |= raise;
      const float shift = next * scale_log2;
      float added = 0.0f;
#pragma unroll
      for (int i = 2 * half; i < kCount; i += 4) {
        scores[i] = exp2_approximate(fmaf(scores[i], scale_log2, -shift));
        scores[i + 1] = exp2_approximate(fmaf(scores[i + 1], scale_log2, -shift));
        added += scores[i] + scores[i + 1];
      }
      sum[half] = fmaf(sum[half], decay[half], added);
    }
    return __any_sync(~0u, raised);
  }

  // The sum over the four threads that share a row.
  __device__ __forceinline__ float total(int half) const {
    float all = sum[half];
    all += __shfl_xor_sync(~0u, all, 1);
    return all + __shfl_xor_sync(~0u, all, 2);
  }
};

template <int kDim>
__device__ __forceinline__ void consume(const ForwardArguments& arguments,
                                        ForwardShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
  const int own_row = static_cast<int>(threadIdx.x % 128) / 32 * 16 + lane() / 4;
  const int own_column = lane() % 4 * 2;

  TileSink tiles(shared.tiles);
  RingPosition position;
  while (true) {
    const SlotTile tile = tiles.take();
    if (tile.row == kNoTile) break;

    const int row = tile.row + warpgroup * kWarpgroupRows;
    const int upper = row + own_row, lower = upper + 8, last_row = row + kWarpgroupRows - 1;
    int document = tile.document;
    const auto first_key = [&](int of_row) {
      document = sequence.find_document_after(document, min(of_row, sequence.rows - 1));
      return sequence.first_key(document, of_row);
    };
    const int warpgroup_first_key = first_key(row);
    const int ahead = planted(sequence.mutant, KernelMutant::sees_next_row) ? 1 : 0;
    const Span upper_span{first_key(upper), upper + ahead};
    const Span lower_span{first_key(lower), lower + ahead};
    const int full_from = first_key(last_row);

    float scores[kBlockRows / 2];
    float sum[kDim / 2] = {};
    std::uint32_t weights[kBlockRows / 4];
    RunningSoftmax softmax{arguments.softmax_scale * kLog2E};

    const auto mask_block = [&](int block) {
      const int first = block * kBlockRows;
      const bool old_edge =
          first < full_from && !planted(sequence.mutant, KernelMutant::old_edge_unmasked);
      if (old_edge || first + kBlockRows - 1 > row) {
        mask(scores, first + own_column, upper_span, lower_span);
      }
    };

    int block = tile.last_block;
    const auto skip_block = [&] {  // one that only other warpgroups see
      shared.key_full[position.stage].wait(position.parity);
      release(shared.key_empty[position.stage]);
      shared.value_full[position.stage].wait(position.parity);
      release(shared.value_empty[position.stage]);
      position.advance<kStages>();
      --block;
    };
    while (block * kBlockRows > last_row) skip_block();
    shared.query_full[warpgroup].wait(tiles.parity());
    const std::uint32_t query = shared_address(shared.query[warpgroup]);
    shared.key_full[position.stage].wait(position.parity);
    multiply_fence();
    multiply_rows<kDim, kWarpgroupRows, kBlockRows>(scores, query,
                                                    shared_address(shared.key[position.stage]));
    multiply_commit();
    multiply_wait<0>();
    settle(scores);
    release(shared.key_empty[position.stage]);
    mask_block(block);
    softmax.weigh(scores);
    pack(weights, scores);

    // The scores of the next block and the values of the last are multiplied while neither waits.
    const int first_block = max(tile.first_block, warpgroup_first_key / kBlockRows);
    while (--block >= first_block) {
      const RingPosition previous = position;
      position.advance<kStages>();
      shared.key_full[position.stage].wait(position.parity);
      settle(weights);
      settle(sum);
      multiply_fence();
      multiply_rows<kDim, kWarpgroupRows, kBlockRows>(scores, query,
                                                      shared_address(shared.key[position.stage]));
      multiply_commit();
      shared.value_full[previous.stage].wait(previous.parity);
      multiply_fence();
      multiply_columns<kDim, kBlockRows>(sum, weights,
                                         shared_address(shared.value[previous.stage]));
      multiply_commit();
      multiply_wait<1>();
      settle(scores);
      release(shared.key_empty[position.stage]);
      mask_block(block);
      const bool raised = softmax.weigh(scores);
      finish_before(softmax.sum[0] + softmax.sum[1]);
      multiply_wait<0>();
      settle(sum);
      release(shared.value_empty[previous.stage]);
      if (raised) {
#pragma unroll
        for (int i = 0; i < kDim / 2; ++i) sum[i] *= softmax.decay[i % 4 / 2];
      }
      pack(weights, scores);
    }
    release(shared.query_empty[warpgroup]);
    shared.value_full[position.stage].wait(position.parity);
    settle(weights);
    settle(sum);
    multiply_fence();
    multiply_columns<kDim, kBlockRows>(sum, weights, shared_address(shared.value[position.stage]));
    multiply_commit();
    multiply_wait<0>();
    settle(sum);
    release(shared.value_empty[position.stage]);
    position.advance<kStages>();
    while (block >= tile.first_block) skip_block();

    const float total_upper = softmax.total(0), total_lower = softmax.total(1);
    if (own_column == 0) {
      float* logsumexp = arguments.logsumexp + static_cast<std::int64_t>(tile.slot) * sequence.rows;
      const auto write = [&](int of_row, float reference, float total) {
        if (of_row < sequence.rows) {
          const bool base_two = planted(sequence.mutant, KernelMutant::logsumexp_in_base_two);
          logsumexp[of_row] =
              fmaf(reference, arguments.softmax_scale, base_two ? log2f(total) : logf(total));
        }
      };
      write(upper, softmax.reference[0], total_upper);
      write(lower, softmax.reference[1], total_lower);
    }
    store_rows<kDim>(arguments.y, shared.y[warpgroup], sum, 1.0f / total_upper, 1.0f / total_lower,
                     sequence, row, tile.slot);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read();
}

template <int kDim>
__global__ void __launch_bounds__(ForwardTeam::kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardArguments arguments) {
  auto& shared = shared_memory<ForwardShared<kDim>>();
  if (threadIdx.x == 0) {
    shared.init();
    fence_barrier_init();
  }
  __syncthreads();
  wait_for_kernel_before();
  if (threadIdx.x < 128) {
    shrink_registers<ForwardTeam::kProducerRegisters>();
    if (threadIdx.x < 32) {
      load_blocks(arguments, shared);
    } else if (threadIdx.x < 64) {
      load_tiles(arguments, shared);
    }
  } else {
    grow_registers<ForwardTeam::kConsumerRegisters>();
    consume(arguments, shared);
  }
}

}  // namespace
}  // namespace attention

void attention_forward(const AttentionProblem& problem, HeadView query, HeadView key,
                       HeadView value, HeadView y, float* logsumexp, void* workspace,
                       cudaStream_t stream) {
  using namespace attention;
  const Workspace scratch(problem, workspace);
  const Sequence sequence = describe_sequence(problem);
  const Plan plan = scratch.plan(0, sequence, kTileRows);
  launch_plan(sequence, {{plan, kTileRows, std::countr_zero(unsigned{kBlockRows}), true}}, 1,
              stream);
  const ForwardArguments arguments{describe_heads(problem, query),
                                   describe_heads(problem, key),
                                   describe_heads(problem, value),
                                   describe_heads(problem, y),
                                   sequence,
                                   plan,
                                   problem.softmax_scale,
                                   logsumexp};
  const int tiles = plan.count * problem.slots;
  if (problem.head_dim <= 64) {
    launch<ForwardTeam, ForwardShared<64>>(forward_kernel<64>, arguments, tiles, stream);
  } else {
    launch<ForwardTeam, ForwardShared<128>>(forward_kernel<128>, arguments, tiles, stream);
  }
}

}  // namespace pairedhead::gpu
