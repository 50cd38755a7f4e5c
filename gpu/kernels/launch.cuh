#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "gpu/error.h"

// Launches that take more than <<<>>> says.

namespace pairedhead::gpu {

template <class... Parameters, class... Arguments>
void launch_with(cudaLaunchAttribute attribute, void (*kernel)(Parameters...), dim3 blocks,
                 unsigned threads, cudaStream_t stream, const Arguments&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = dim3(threads);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

// Two kernels, one behind the other on a stream, of which the second does little: its blocks take
// their places while the first still runs, so that between them no time goes into a launch.

// In the first kernel, by all threads, at any place: once every block has come here, blocks of the
// second may start where there is room.
__device__ __forceinline__ void let_next_kernel_start() {
  cudaTriggerProgrammaticLaunchCompletion();
}

// In the second kernel, by all threads, before one reads what the first wrote: the first has ended.
__device__ __forceinline__ void wait_for_kernel_before() { cudaGridDependencySynchronize(); }

// The second kernel. Throws CudaError.
template <class Kernel, class... Arguments>
void launch_overlapped(Kernel kernel, dim3 blocks, unsigned threads, cudaStream_t stream,
                       const Arguments&... arguments) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  launch_with(overlap, kernel, blocks, threads, stream, arguments...);
}

// A kernel whose blocks wait for each other: as many of the wanted ones as the GPU holds at once.
// Throws CudaError.
template <class Kernel, class... Arguments>
void launch_together(Kernel kernel, std::int64_t wanted_blocks, unsigned threads,
                     cudaStream_t stream, const Arguments&... arguments) {
  int device = 0, multiprocessors = 0, resident = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel,
                                                           static_cast<int>(threads), 0));
  const std::int64_t most = std::int64_t{resident} * multiprocessors;
  cudaLaunchAttribute together = {};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  launch_with(together, kernel, dim3(static_cast<unsigned>(std::min(most, wanted_blocks))), threads,
              stream, arguments...);
}

}  // namespace pairedhead::gpu
