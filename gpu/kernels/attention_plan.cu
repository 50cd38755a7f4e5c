#include "gpu/error.h"
#include "gpu/kernels/attention_plan.cuh"
#include "gpu/kernels/launch.cuh"
#include "gpu/kernels/reduce.cuh"

// One block of threads per plan. Tiles keep the order of the sequence, in which neighbours read the
// same keys while these are in the L2 cache; only the cheapest, an eighth of the work, are moved to
// the end, to fill what the others leave.
namespace pairedhead::gpu::attention {

namespace {

constexpr int kThreads = 1024;
constexpr int kCachedDocuments = 4096;

struct PlanArguments {
  Sequence sequence;
  PlanRequest requests[2];
};

__device__ Tile describe(const Sequence& sequence, const PlanRequest& request, int index) {
  const int row = index * request.tile_rows;
  const int last_row = min(row + request.tile_rows, sequence.rows) - 1;
  const int document = sequence.find_document(row);
  const int first = request.over_keys ? sequence.first_key(document, row) : row;
  const int last =
      request.over_keys
          ? last_row
          : sequence.last_query(sequence.find_document_after(document, last_row), last_row);
  Tile tile{row, document, first >> request.block_shift, last >> request.block_shift};
  const int own_first = row >> request.block_shift, own_last = last_row >> request.block_shift;
  if (planted(sequence.mutant, KernelMutant::first_block_skipped) && tile.first_block < own_first) {
    ++tile.first_block;
  }
  if (planted(sequence.mutant, KernelMutant::last_block_skipped) && tile.last_block > own_last) {
    --tile.last_block;
  }
  return tile;
}

// Tiles as dear as the last bucket or dearer count as equal.
__device__ int bucket_of(const Tile& tile) {
  return min(tile.last_block - tile.first_block, kThreads - 1);
}

__global__ void __launch_bounds__(kThreads)
    plan_kernel(const __grid_constant__ PlanArguments plans) {
  let_next_kernel_start();
  __shared__ std::int32_t documents[kCachedDocuments];
  __shared__ int counts[kThreads];
  const PlanRequest& request = plans.requests[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x);
  Sequence sequence = plans.sequence;
  if (sequence.entries <= kCachedDocuments) {
    for (int i = thread; i < sequence.entries; i += kThreads) {
      documents[i] = sequence.cu_seqlens[i];
    }
    sequence.cu_seqlens = documents;
  }
  counts[thread] = 0;
  if (thread == 0) *request.plan.next = 0;
  __syncthreads();

  // Hardly ever are there more tiles than threads, so the first of each thread is kept.
  Tile own{};
  if (thread < request.plan.count) own = describe(sequence, request, thread);
  const auto tile_at = [&](int index) {
    return index < kThreads ? own : describe(sequence, request, index);
  };
  for (int i = thread; i < request.plan.count; i += kThreads) {
    atomicAdd(counts + bucket_of(tile_at(i)), 1);
  }
  __syncthreads();
  const int work = counts[thread] * (thread + 1);
  const int work_until = sum_before<kThreads>(work) + work;
  if (thread == kThreads - 1) counts[0] = work_until;
  __syncthreads();
  const int cheap_buckets = __syncthreads_count(work_until <= counts[0] / 8);

  // Two passes, the dear tiles and then the cheap ones.
  int placed = 0;
  for (const bool cheap : {false, true}) {
    for (int start = 0; start < request.plan.count; start += kThreads) {
      const int index = start + thread;
      Tile tile;
      bool chosen = false;
      if (index < request.plan.count) {
        tile = tile_at(index);
        chosen = (bucket_of(tile) < cheap_buckets) == cheap;
      }
      const int position = placed + sum_before<kThreads>(chosen);
      if (chosen) request.plan.tiles[position] = tile;
      placed += __syncthreads_count(chosen);
    }
  }
}

}  // namespace

void launch_plan(const Sequence& sequence, const PlanRequest (&requests)[2], int count,
                 cudaStream_t stream) {
  plan_kernel<<<count, kThreads, 0, stream>>>({sequence, {requests[0], requests[1]}});
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace pairedhead::gpu::attention
