#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "gpu/kernels/embedding.h"
#include "gpu/kernels/embedding_workspace.h"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/row.cuh"

// Sorted by token, the positions of a table row are a run. The sorted positions are cut into blocks
// of 32, and a warp sums a block's rows over 256 channels: every warp has the same work, however
// often a token occurs. Runs inside a block are finished at once; of a run that crosses blocks each
// leaves its part, which a second kernel adds up in order.

namespace pairedhead::gpu {
namespace {

constexpr int block_positions = warp_threads;
constexpr int slice_channels = 256;

int blocks_of(int tokens) { return (tokens + block_positions - 1) / block_positions; }
int slices_of(int width) { return (width + slice_channels - 1) / slice_channels; }

// Parts of runs that cross blocks, fp32 [blocks, C] each: of the run that enters a block from the
// one before, and of the run that begins in a block and leaves it.
struct Parts {
  float *entering, *leaving;
};

Parts parts_of(const EmbeddingShape& shape, void* workspace) {
  float* const entering = static_cast<float*>(workspace);
  return {entering, entering + static_cast<std::int64_t>(blocks_of(shape.tokens)) * shape.width};
}

// The tokens in sorted order, and none where there is no such position.
struct Sorted {
  const std::int32_t *tokens, *order;
  int count;

  static constexpr int none = -1;
  __device__ __forceinline__ int token(int position) const {
    return position < 0 || position >= count ? none : tokens[order[position]];
  }
};

// Where a warp works: a block of positions, and the channels from `channel` on.
struct Place {
  int block, channel;
};

__device__ __forceinline__ Place place_of_warp(int slices) {
  return {first_row() / slices, first_row() % slices * slice_channels};
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
                                        __nv_bfloat16* grad_row, int width) {
  const RowType before = overwrite ? RowType{} : load_row<RowType>(grad_row, width);
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

template <class RowType>
__global__ void __launch_bounds__(row_threads)
    sum_blocks(EmbeddingShape shape, Sorted sorted, int slices,
               const __nv_bfloat16* __restrict__ grad_rows, bool overwrite,
               __nv_bfloat16* __restrict__ grad_table, Parts parts, KernelMutant mutant) {
  const auto [block, channel] = place_of_warp(slices);
  const int begin = block * block_positions, width = shape.width - channel;
  if (begin >= sorted.count) return;
  const int count = min(block_positions, sorted.count - begin);
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  const int own_row = lane < count ? sorted.order[begin + lane] : 0;
  const int own_token = sorted.token(begin + lane);
  const int token_before = sorted.token(begin - 1);
  const int token_after = sorted.token(begin + count);

  Sum<RowType> sum;
  constexpr int together = 8;
  for (int first = 0; first < count; first += together) {
    RowType rows[together];
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int row = __shfl_sync(0xffffffffu, own_row, first + i);
      if (first + i >= count) continue;
      rows[i] = load_row<RowType>(
          grad_rows + static_cast<std::int64_t>(row) * shape.width + channel, width);
    }
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int at = first + i;
      const int token = __shfl_sync(0xffffffffu, own_token, at);
      const int within = __shfl_sync(0xffffffffu, own_token, (at + 1) % warp_threads);
      if (at >= count) continue;
      sum.add(rows[i]);
      const bool last = at + 1 == count;
      const bool run_ends = (last ? token_after : within) != token;
      if (!run_ends && planted(mutant, KernelMutant::scatter_keeps_last)) sum = {};
      if (!run_ends && !last) continue;
      const std::int64_t part = static_cast<std::int64_t>(block) * shape.width + channel;
      if (token == token_before) {
        store_part(sum, parts.entering + part, width);
      } else if (!run_ends) {
        store_part(sum, parts.leaving + part, width);
      } else {
        deliver(sum, overwrite,
                grad_table + static_cast<std::int64_t>(token) * shape.width + channel, width);
      }
      sum = {};
    }
  }
}

// One warp for each block that a run leaves.
template <class RowType>
__global__ void __launch_bounds__(row_threads)
    sum_parts(EmbeddingShape shape, Sorted sorted, int slices, bool overwrite,
              __nv_bfloat16* __restrict__ grad_table, Parts parts) {
  const auto [block, channel] = place_of_warp(slices);
  const int begin = block * block_positions, end = begin + block_positions;
  if (end >= sorted.count) return;
  const int token = sorted.token(end), width = shape.width - channel;
  if (sorted.token(end - 1) != token || sorted.token(begin - 1) == token) return;

  Sum<RowType> sum;
  const auto add = [&](const float* part) {
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) {
      const int c = RowType::channel(n);
      if (c < width) sum.values[n] += part[c];
    }
  };
  add(parts.leaving + static_cast<std::int64_t>(block) * shape.width + channel);
  // The run goes on to the last block that begins with its token; lanes look at 32 at a time.
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  for (int first = block + 1;; first += warp_threads) {
    const bool goes_on = sorted.token((first + lane) * block_positions) == token;
    const int more = __popc(__ballot_sync(0xffffffffu, goes_on));
#pragma unroll 8
    for (int i = 0; i < more; ++i) {
      add(parts.entering + static_cast<std::int64_t>(first + i) * shape.width + channel);
    }
    if (more < warp_threads) break;
  }
  deliver(sum, overwrite, grad_table + static_cast<std::int64_t>(token) * shape.width + channel,
          width);
}

__global__ void count_up(int count, std::int32_t* numbers) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) numbers[i] = i;
}

// Of the sort: the numbers 0 ... T - 1, the sorted tokens, and what CUB asks for.
struct SortWorkspace {
  std::int32_t *numbers, *sorted;
  void* scratch;
  std::size_t scratch_bytes;
};

// Stable: equal tokens stay in the order of the text. Only as many bits as tokens have are sorted.
void sort_pairs(const EmbeddingShape& shape, const std::int32_t* tokens, std::int32_t* order,
                SortWorkspace& workspace, cudaStream_t stream) {
  const unsigned last = static_cast<unsigned>(shape.vocabulary - 1);
  const int bits = std::max(1, static_cast<int>(std::bit_width(last)));
  CUDA_CHECK(cub::DeviceRadixSort::SortPairs(
      workspace.scratch, workspace.scratch_bytes, reinterpret_cast<const unsigned*>(tokens),
      reinterpret_cast<unsigned*>(workspace.sorted), workspace.numbers, order, shape.tokens, 0,
      bits, stream));
}

// CUB wants its scratch aligned; so is what lies before it.
std::size_t list_bytes(const EmbeddingShape& shape) {
  return (static_cast<std::size_t>(shape.tokens) * sizeof(std::int32_t) + 255) / 256 * 256;
}

std::size_t scratch_bytes_of_sort(const EmbeddingShape& shape) {
  SortWorkspace workspace = {};
  sort_pairs(shape, nullptr, nullptr, workspace, nullptr);
  return workspace.scratch_bytes;
}

}  // namespace

std::size_t embedding_workspace_bytes(const EmbeddingShape& shape) {
  const std::size_t parts = 2 * static_cast<std::size_t>(blocks_of(shape.tokens)) *
                            static_cast<std::size_t>(shape.width) * sizeof(float);
  const std::size_t sort = 2 * list_bytes(shape) + scratch_bytes_of_sort(shape);
  return std::max({parts, sort, smear_workspace_bytes(shape)});
}

void sort_tokens(const EmbeddingShape& shape, const std::int32_t* tokens, std::int32_t* order,
                 void* workspace, cudaStream_t stream) {
  require_rows("sort_tokens", shape.tokens, shape.width);
  std::byte* const bytes = static_cast<std::byte*>(workspace);
  SortWorkspace places = {
      .numbers = reinterpret_cast<std::int32_t*>(bytes),
      .sorted = reinterpret_cast<std::int32_t*>(bytes + list_bytes(shape)),
      .scratch = bytes + 2 * list_bytes(shape),
      .scratch_bytes = scratch_bytes_of_sort(shape),
  };
  constexpr int threads = 256;
  const auto blocks = static_cast<unsigned>((shape.tokens + threads - 1) / threads);
  count_up<<<blocks, threads, 0, stream>>>(shape.tokens, places.numbers);
  CUDA_CHECK(cudaGetLastError());
  sort_pairs(shape, tokens, order, places, stream);
}

void scatter_rows(const EmbeddingShape& shape, const std::int32_t* tokens,
                  const std::int32_t* order, const __nv_bfloat16* grad_rows, bool overwrite,
                  __nv_bfloat16* grad_table, void* workspace, cudaStream_t stream) {
  require_rows("scatter_rows", shape.tokens, shape.width);
  const Sorted sorted = {tokens, order, shape.tokens};
  const Parts parts = parts_of(shape, workspace);
  const int slices = slices_of(shape.width);
  const unsigned blocks = row_blocks(blocks_of(shape.tokens) * slices);
  if (overwrite) {
    CUDA_CHECK(cudaMemsetAsync(grad_table, 0,
                               static_cast<std::size_t>(shape.vocabulary) *
                                   static_cast<std::size_t>(shape.width) * sizeof(__nv_bfloat16),
                               stream));
  }
  const auto launch = [&]<class RowType>() {
    sum_blocks<RowType><<<blocks, row_threads, 0, stream>>>(
        shape, sorted, slices, grad_rows, overwrite, grad_table, parts, active_kernel_mutant());
    CUDA_CHECK(cudaGetLastError());
    sum_parts<RowType>
        <<<blocks, row_threads, 0, stream>>>(shape, sorted, slices, overwrite, grad_table, parts);
    CUDA_CHECK(cudaGetLastError());
  };
  if (shape.width % 8 == 0) {
    launch.template operator()<Row<1, true>>();
  } else {
    launch.template operator()<Row<1, false>>();
  }
}

}  // namespace pairedhead::gpu
