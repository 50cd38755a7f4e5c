#pragma once

#include "gpu/error.h"
#include "gpu/kernels/attention_tiles.cuh"

namespace pairedhead::gpu::attention {

// The scratch of one call: the tile counters, then delta, fp32 [slots, rows].
struct Workspace {
  static constexpr std::size_t kCounterBytes = 256;
  int* counters;
  float* delta;

  explicit Workspace(void* memory)
      : counters(static_cast<int*>(memory)),
        delta(reinterpret_cast<float*>(static_cast<std::uint8_t*>(memory) + kCounterBytes)) {}
};

inline Sequence describe_sequence(const AttentionProblem& problem, int* next_tile) {
  const int rows = problem.tokens * problem.rows_per_token;
  return {problem.cu_seqlens,
          problem.entries,
          problem.rows_per_token,
          rows,
          problem.slots,
          problem.window,
          (rows + kTileRows - 1) / kTileRows,
          next_tile};
}

// Launches a kernel of specialised warpgroups, one block on each multiprocessor.
template <typename Shared, typename Arguments>
void launch(void (*kernel)(Arguments), const Arguments& arguments, cudaStream_t stream) {
  int device = 0, multiprocessors = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  shared_bytes<Shared>()));
  const int tiles = arguments.sequence.tiles * arguments.sequence.slots;
  const int blocks = tiles < multiprocessors ? tiles : multiprocessors;
  kernel<<<blocks, kThreads, shared_bytes<Shared>(), stream>>>(arguments);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace pairedhead::gpu::attention
