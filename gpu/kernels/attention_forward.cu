#include "gpu/kernels/attention_launch.h"

// Softmax attention over documents and a window, SPEC §3.6.6 and §3.7, one pass with the running
// maximum and sum of each row. Keys come in blocks of 128, the newest first, so that the first
// block of every row holds the row itself and its maximum is finite from then on.
namespace pairedhead::gpu {

namespace attention {
namespace {

constexpr int kBlockRows = 128;
constexpr int kStages = 2;

struct ForwardArguments {
  CUtensorMap query, key, value, y;
  Sequence sequence;
  float softmax_scale;
  float* logsumexp;  // [slots, rows]
};

template <int kDim>
struct alignas(1024) ForwardShared {
  std::uint8_t query[kTileRows * kDim * 2];
  std::uint8_t key[kStages][kBlockRows * kDim * 2];
  std::uint8_t value[kStages][kBlockRows * kDim * 2];
  std::uint8_t y[kTileRows * kDim * 2];
  Barrier query_full, query_empty;
  Barrier key_full[kStages], key_empty[kStages];
  Barrier value_full[kStages], value_empty[kStages];
  TileRing tiles;

  __device__ __forceinline__ void init() {
    query_full.init(1);
    query_empty.init(kConsumerWarps);
    for (int stage = 0; stage < kStages; ++stage) {
      key_full[stage].init(1);
      key_empty[stage].init(kConsumerWarps);
      value_full[stage].init(1);
      value_empty[stage].init(kConsumerWarps);
    }
    tiles.init();
  }
};

template <int kDim>
__device__ __forceinline__ void produce(const ForwardArguments& arguments,
                                        ForwardShared<kDim>& shared) {
  const Sequence& sequence = arguments.sequence;
  TileSource tiles(sequence, shared.tiles);
  RingPosition position;
  std::uint32_t query_parity = 0;
  while (true) {
    const Tile tile = tiles.take([&](Tile& described) {
      described.document = sequence.find_document(described.row);
      described.first_block = sequence.first_key(described.document, described.row) / kBlockRows;
      described.last_block = described.row / kBlockRows;
    });
    if (tile.row < 0) return;
    if (lane() != 0) {
      for (int block = tile.last_block; block >= tile.first_block; --block) {
        position.advance<kStages>();
      }
      continue;
    }
    shared.query_empty.wait(query_parity ^ 1);
    shared.query_full.arrive_expecting(sizeof shared.query);
    load_rows<kTileRows, kDim>(shared.query, arguments.query, shared.query_full, sequence, tile.row,
                               tile.slot);
    query_parity ^= 1;
    for (int block = tile.last_block; block >= tile.first_block; --block) {
      const int stage = position.stage;
      shared.key_empty[stage].wait(position.parity ^ 1);
      shared.key_full[stage].arrive_expecting(sizeof shared.key[stage]);
      load_rows<kBlockRows, kDim>(shared.key[stage], arguments.key, shared.key_full[stage],
                                  sequence, block * kBlockRows, tile.slot);
      shared.value_empty[stage].wait(position.parity ^ 1);
      shared.value_full[stage].arrive_expecting(sizeof shared.value[stage]);
      load_rows<kBlockRows, kDim>(shared.value[stage], arguments.value, shared.value_full[stage],
                                  sequence, block * kBlockRows, tile.slot);
      position.advance<kStages>();
    }
  }
}

// The running softmax of this thread's two rows, in units of log2 after scaling.
struct RunningSoftmax {
  float scale_log2;
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};
  float decay[2] = {1.0f, 1.0f};  // what the last block did to the weights of the earlier ones

  // Turns a block's scores into weights relative to the new maximum.
  template <int kCount>
  __device__ __forceinline__ void weigh(float (&scores)[kCount]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = maximum[half];
#pragma unroll
      for (int i = 2 * half; i < kCount; i += 4) top = fmaxf(top, fmaxf(scores[i], scores[i + 1]));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      decay[half] = exp2_approximate((maximum[half] - top) * scale_log2);
      maximum[half] = top;
      const float shift = top * scale_log2;
      float added = 0.0f;
#pragma unroll
      for (int i = 2 * half; i < kCount; i += 4) {
        scores[i] = exp2_approximate(fmaf(scores[i], scale_log2, -shift));
        scores[i + 1] = exp2_approximate(fmaf(scores[i + 1], scale_log2, -shift));
        added += scores[i] + scores[i + 1];
      }
      sum[half] = fmaf(sum[half], decay[half], added);
    }
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
  const std::uint32_t query = shared_address(shared.query) + warpgroup * kWarpgroupRows * kRowBytes;
  std::uint8_t* staging = shared.y + warpgroup * kWarpgroupRows * kDim * 2;

  TileSink tiles(shared.tiles);
  RingPosition position;
  std::uint32_t query_parity = 0;
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

    float scores[kBlockRows / 2];
    float sum[kDim / 2] = {};
    std::uint32_t weights[kBlockRows / 4];
    RunningSoftmax softmax{arguments.softmax_scale * kLog2E};

    const auto mask_block = [&](int block) {
      const int first = block * kBlockRows;
      if (first < full_from || first + kBlockRows - 1 > row) {
        mask(scores, first + own_column, upper_span, lower_span);
      }
    };

    int block = tile.last_block;
    shared.query_full.wait(query_parity);
    query_parity ^= 1;
    shared.key_full[position.stage].wait(position.parity);
    multiply_fence();
    multiply_rows<kDim, kTileRows, kBlockRows>(scores, query,
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
      multiply_rows<kDim, kTileRows, kBlockRows>(scores, query,
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
      softmax.weigh(scores);
      multiply_wait<0>();
      settle(sum);
      release(shared.value_empty[previous.stage]);
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) sum[i] *= softmax.decay[i % 4 / 2];
      pack(weights, scores);
    }
    release(shared.query_empty);
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
    // Blocks that only the other warpgroup sees.
    for (; block >= tile.first_block; --block) {
      shared.key_full[position.stage].wait(position.parity);
      release(shared.key_empty[position.stage]);
      shared.value_full[position.stage].wait(position.parity);
      release(shared.value_empty[position.stage]);
      position.advance<kStages>();
    }

    const float total_upper = softmax.total(0), total_lower = softmax.total(1);
    if (own_column == 0) {
      float* logsumexp = arguments.logsumexp + static_cast<std::int64_t>(tile.slot) * sequence.rows;
      const auto write = [&](int of_row, float maximum, float total) {
        if (of_row < sequence.rows) {
          logsumexp[of_row] = fmaf(maximum, arguments.softmax_scale, logf(total));
        }
      };
      write(upper, softmax.maximum[0], total_upper);
      write(lower, softmax.maximum[1], total_lower);
    }
    store_rows<kDim>(arguments.y, staging, sum, 1.0f / total_upper, 1.0f / total_lower, sequence,
                     row, tile.slot);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read();
}

template <int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardArguments arguments) {
  auto& shared = shared_memory<ForwardShared<kDim>>();
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
}  // namespace attention

void attention_forward(const AttentionProblem& problem, HeadView query, HeadView key,
                       HeadView value, HeadView y, float* logsumexp, void* workspace,
                       cudaStream_t stream) {
  using namespace attention;
  const Workspace scratch(workspace);
  CUDA_CHECK(cudaMemsetAsync(scratch.counters, 0, sizeof(int), stream));
  const ForwardArguments arguments{describe_heads(problem, query),
                                   describe_heads(problem, key),
                                   describe_heads(problem, value),
                                   describe_heads(problem, y),
                                   describe_sequence(problem, scratch.counters),
                                   problem.softmax_scale,
                                   logsumexp};
  if (problem.head_dim <= 64) {
    launch<ForwardShared<64>>(forward_kernel<64>, arguments, stream);
  } else {
    launch<ForwardShared<128>>(forward_kernel<128>, arguments, stream);
  }
}

}  // namespace pairedhead::gpu
