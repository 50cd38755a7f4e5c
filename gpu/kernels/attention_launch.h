#pragma once

#include <algorithm>
#include <bit>

#include "gpu/error.h"
#include "gpu/kernels/attention_plan.cuh"
#include "gpu/kernels/launch.cuh"

namespace pairedhead::gpu::attention {

// The scratch of one call: the tile counters, two plans, then delta, fp32 [slots, rows].
struct Workspace {
  static constexpr std::size_t kCounterBytes = 256;
  int* counters;
  Tile* tiles[2];
  float* delta;
  std::size_t bytes;

  Workspace(const AttentionProblem& problem, void* memory) {
    const auto rows =
        static_cast<std::size_t>(problem.tokens) * static_cast<std::size_t>(problem.rows_per_token);
    const std::size_t most_tiles = rows / (2 * kWarpgroupRows) + 1;
    auto* next = static_cast<std::uint8_t*>(memory);
    const auto take = [&](std::size_t size) {
      std::uint8_t* taken = next;
      next += size;
      return taken;
    };
    counters = reinterpret_cast<int*>(take(kCounterBytes));
    for (Tile*& plan : tiles) plan = reinterpret_cast<Tile*>(take(most_tiles * sizeof(Tile)));
    delta = reinterpret_cast<float*>(
        take(sizeof(float) * rows * static_cast<std::size_t>(problem.slots)));
    bytes = static_cast<std::size_t>(next - static_cast<std::uint8_t*>(memory));
  }

  // Room for the plan of the kernel with this number, 0 or 1.
  Plan plan(int kernel, const Sequence& sequence, int tile_rows) const {
    return {tiles[kernel], (sequence.rows + tile_rows - 1) / tile_rows, counters + kernel};
  }
};

// Boxes of 64 rows hold whole tokens, so the rows per token are a power of two.
inline Sequence describe_sequence(const AttentionProblem& problem) {
  const KernelMutant mutant = active_kernel_mutant();
  int window = problem.window;
  if (planted(mutant, KernelMutant::window_doubled)) window *= problem.rows_per_token;
  if (planted(mutant, KernelMutant::window_exclusive)) --window;
  return {problem.cu_seqlens,
          problem.entries,
          std::countr_zero(static_cast<unsigned>(problem.rows_per_token)),
          problem.tokens * problem.rows_per_token,
          problem.slots,
          window,
          mutant};
}

// Launches a kernel of specialised warpgroups, one block on each multiprocessor, which may start
// before its predecessor in the stream ends.
template <typename Team, typename Shared, typename Arguments>
void launch(void (*kernel)(Arguments), const Arguments& arguments, int tiles, cudaStream_t stream) {
  int device = 0, multiprocessors = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  shared_bytes<Shared>()));
  const auto blocks = static_cast<unsigned>(std::min(tiles, multiprocessors));
  launch_overlapped(kernel, {dim3(blocks), Team::kThreads, shared_bytes<Shared>()}, stream,
                    arguments);
}

}  // namespace pairedhead::gpu::attention
