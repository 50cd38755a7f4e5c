#include <algorithm>

#include "gpu/kernels/embedding.h"
#include "gpu/kernels/embedding_workspace.h"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/row.cuh"

// Sorted by token, the positions of a table row are a run. The sorted positions are cut into blocks
// of 32, and a warp sums a block's rows over 256 channels: every warp has the same work, however
// often a token occurs. Runs inside a block are finished at once; of a run that crosses blocks each
// leaves its part, which a second kernel adds up in order. A table that holds nothing yet is zeroed
// by other warps of the same launch, and only where no token names a row: each row is written once.

namespace pairedhead::gpu {
namespace {

constexpr int block_positions = warp_threads;
constexpr int slice_channels = 256;

int blocks_of(int tokens) { return (tokens + block_positions - 1) / block_positions; }
int slices_of(int width) { return (width + slice_channels - 1) / slice_channels; }

// Of every table.
std::int64_t floats_of_parts(const EmbeddingShape& shape) {
  return std::int64_t{blocks_of(shape.tokens)} * shape.width;
}

// A table's work. Parts are of runs that cross blocks, fp32 [blocks, C] each: of the run that
// enters a block from the one before, and of the run that begins in a block and leaves it.
struct Table {
  TableGradient gradient;
  float *entering, *leaving;
};
struct Tables {
  Table all[most_tables];  // the grid's y
};

Tables tables_in(const EmbeddingShape& shape, std::span<const TableGradient> gradients,
                 void* workspace) {
  Tables tables = {};
  float* parts = static_cast<float*>(workspace);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    tables.all[i] = {gradients[i], parts, parts + floats_of_parts(shape)};
    parts += 2 * floats_of_parts(shape);
  }
  return tables;
}

// The tokens in sorted order, and none where there is no such place.
struct Sorted {
  const OrderedToken* order;
  int count;
  const std::uint32_t* named;

  static constexpr int none = -1;
  __device__ __forceinline__ int token(int place) const {
    return place < 0 || place >= count ? none : order[place].token;
  }
};

// Where a warp works: a block of positions, and the channels from `channel` on.
struct Place {
  int block, channel;
};

__device__ __forceinline__ Place place_of_warp(int warp, int slices) {
  return {warp / slices, warp % slices * slice_channels};
}

template <class RowType>
struct Sum {
  float values[RowType::elements] = {};

  __device__ __forceinline__ void add(const RowType& row) {
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) values[n] += row[n];
  }
};

// The finished sum of a table row's slice.
template <class RowType>
__device__ __forceinline__ void deliver(const Sum<RowType>& sum, bool overwrite,
                                        __nv_bfloat16* grad_row, int width, KernelMutant mutant) {
  const bool lost = planted(mutant, KernelMutant::scatter_overwrites);
  const RowType before = overwrite || lost ? RowType{} : load_row<RowType>(grad_row, width);
  store_rounded<RowType>(grad_row, width, [&](int n) { return before[n] + sum.values[n]; });
}

template <class RowType>
__device__ __forceinline__ void store_part(const Sum<RowType>& sum, float* part, int width) {
#pragma unroll
  for (int n = 0; n < RowType::elements; ++n) {
    const int c = RowType::channel(n);
    if (c < width) part[c] = sum.values[n];
  }
}

// A warp zeroes what the tokens leave of so many rows of the table: few, so that the warps end
// together, and within a word of Sorted::named.
constexpr int rows_to_zero = 8;

// Blocks that zero a table.
unsigned zeroing_blocks(int vocabulary) {
  return row_blocks((vocabulary + rows_to_zero - 1) / rows_to_zero);
}

template <class RowType>
__device__ __forceinline__ void zero_unnamed_rows(const EmbeddingShape& shape, const Sorted& sorted,
                                                  int first, __nv_bfloat16* grad_table) {
  if (first >= shape.vocabulary) return;
  const unsigned named = sorted.named[first / warp_threads] >> first % warp_threads;
  for (int i = 0; i < rows_to_zero; ++i) {
    if ((named >> i & 1) != 0 || first + i >= shape.vocabulary) continue;
    __nv_bfloat16* const row = grad_table + static_cast<std::int64_t>(first + i) * shape.width;
    for (int channel = 0; channel < shape.width; channel += slice_channels) {
      store_row(row + channel, shape.width - channel, RowType{});
    }
  }
}

// The first `summing` blocks sum; the others zero what no token names, and fill the GPU while the
// sums wait for their rows.
template <class RowType>
__global__ void __launch_bounds__(row_threads)
    sum_blocks(EmbeddingShape shape, Sorted sorted, int slices, int summing, Tables tables,
               KernelMutant mutant) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const Table& to = tables.all[blockIdx.y];
  const int zeroing_warp = first_row() - summing * row_warps;
  if (zeroing_warp >= 0) {
    if (!to.gradient.overwrite) return;
    zero_unnamed_rows<RowType>(shape, sorted, zeroing_warp * rows_to_zero, to.gradient.table);
    return;
  }
  const auto [block, channel] = place_of_warp(first_row(), slices);
  const int begin = block * block_positions, width = shape.width - channel;
  if (begin >= sorted.count) return;
  const int count = min(block_positions, sorted.count - begin);
  const int lane = lane_of_warp();
  const OrderedToken own = lane < count ? sorted.order[begin + lane] : OrderedToken{};
  const int token_before = sorted.token(begin - 1);
  const int token_after = sorted.token(begin + count);

  Sum<RowType> sum;
  constexpr int together = 8;
  for (int first = 0; first < count; first += together) {
    RowType rows[together];
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int row = __shfl_sync(0xffffffffu, own.position, first + i);
      if (first + i >= count) continue;
      rows[i] = load_row<RowType>(
          to.gradient.rows + static_cast<std::int64_t>(row) * shape.width + channel, width);
    }
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int at = first + i;
      const int token = __shfl_sync(0xffffffffu, own.token, at);
      const int within = __shfl_sync(0xffffffffu, own.token, (at + 1) % warp_threads);
      if (at >= count) continue;
      sum.add(rows[i]);
      const bool last = at + 1 == count;
      const bool run_ends = (last ? token_after : within) != token;
      if (!run_ends && planted(mutant, KernelMutant::scatter_keeps_last)) sum = {};
      if (!run_ends && !last) continue;
      const std::int64_t part = static_cast<std::int64_t>(block) * shape.width + channel;
      if (token == token_before) {
        store_part(sum, to.entering + part, width);
      } else if (!run_ends) {
        store_part(sum, to.leaving + part, width);
      } else {
        deliver(sum, to.gradient.overwrite,
                to.gradient.table + static_cast<std::int64_t>(token) * shape.width + channel, width,
                mutant);
      }
      sum = {};
    }
  }
}

// One warp for each block that a run leaves.
template <class RowType>
__global__ void __launch_bounds__(row_threads)
    sum_parts(EmbeddingShape shape, Sorted sorted, int slices, Tables tables, KernelMutant mutant) {
  const Table& to = tables.all[blockIdx.y];
  const auto [block, channel] = place_of_warp(first_row(), slices);
  const int begin = block * block_positions, end = begin + block_positions;
  const int token = sorted.token(end), width = shape.width - channel;
  const bool crosses = token != Sorted::none && sorted.token(end - 1) == token;
  const bool begins_here = sorted.token(begin - 1) != token;
  // The run goes on to the last block that begins with its token; lanes look at 32 at a time.
  const int lane = lane_of_warp();
  const auto blocks_more = [&](int first) {
    const bool goes_on = sorted.token((first + lane) * block_positions) == token;
    return __popc(__ballot_sync(0xffffffffu, goes_on));
  };
  int more = blocks_more(block + 1);
  wait_for_kernel_before();
  if (!crosses || !begins_here) return;

  Sum<RowType> sum;
  const auto add = [&](const float* part) {
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) {
      const int c = RowType::channel(n);
      if (c < width) sum.values[n] += part[c];
    }
  };
  add(to.leaving + static_cast<std::int64_t>(block) * shape.width + channel);
  for (int first = block + 1;; first += warp_threads) {
#pragma unroll 8
    for (int i = 0; i < more; ++i) {
      add(to.entering + static_cast<std::int64_t>(first + i) * shape.width + channel);
    }
    if (more < warp_threads) break;
    more = blocks_more(first + warp_threads);
  }
  deliver(sum, to.gradient.overwrite,
          to.gradient.table + static_cast<std::int64_t>(token) * shape.width + channel, width,
          mutant);
}

}  // namespace

std::size_t embedding_workspace_bytes(const EmbeddingShape& shape) {
  const std::size_t parts =
      2 * most_tables * static_cast<std::size_t>(floats_of_parts(shape)) * sizeof(float);
  return std::max(parts, sort_workspace_bytes(shape) + smear_workspace_bytes(shape));
}

void scatter_rows(const EmbeddingShape& shape, const void* order,
                  std::span<const TableGradient> gradients, void* workspace, cudaStream_t stream) {
  require_rows("scatter_rows", shape.tokens, shape.width);
  if (gradients.empty() || gradients.size() > most_tables) {
    throw std::invalid_argument("scatter_rows: expected 1 to " + std::to_string(most_tables) +
                                " tables, got " + std::to_string(gradients.size()));
  }
  const auto* const first = static_cast<const OrderedToken*>(order);
  const Sorted sorted = {first, shape.tokens,
                         reinterpret_cast<const std::uint32_t*>(first + shape.tokens)};
  const Tables tables = tables_in(shape, gradients, workspace);
  const int slices = slices_of(shape.width);
  const bool zeroes = std::any_of(gradients.begin(), gradients.end(),
                                  [](const TableGradient& one) { return one.overwrite; });
  const unsigned zeroing = zeroes ? zeroing_blocks(shape.vocabulary) : 0;
  const unsigned summing = row_blocks(blocks_of(shape.tokens) * slices);
  const auto count = static_cast<unsigned>(gradients.size());
  const auto launch = [&]<class RowType>() {
    launch_overlapped(sum_blocks<RowType>, {dim3(summing + zeroing, count), row_threads}, stream,
                      shape, sorted, slices, static_cast<int>(summing), tables,
                      active_kernel_mutant());
    launch_overlapped(sum_parts<RowType>, {dim3(summing, count), row_threads}, stream, shape,
                      sorted, slices, tables, active_kernel_mutant());
  };
  if (shape.width % 8 == 0) {
    launch.template operator()<Row<1, true>>();
  } else {
    launch.template operator()<Row<1, false>>();
  }
}

}  // namespace pairedhead::gpu
