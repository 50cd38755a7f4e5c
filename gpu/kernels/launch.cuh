#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "gpu/error.h"

// Launches that take more than <<<>>> says.

namespace pairedhead::gpu {

struct Grid {
  dim3 blocks;
  dim3 threads;                  // of a block
  std::size_t shared_bytes = 0;  // of a block, beside what the kernel declares
};

template <class... Parameters, class... Arguments>
void launch_with(std::span<cudaLaunchAttribute> attributes, void (*kernel)(Parameters...),
                 const Grid& grid, cudaStream_t stream, const Arguments&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = stream;
  config.attrs = attributes.data();
  config.numAttrs = static_cast<unsigned>(attributes.size());
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

// Two kernels, one behind the other on a stream: blocks of the second take their places while the
// first still runs, so that between them no time goes into a launch.

// In the first kernel, by all threads, at any place: once every block has come here, blocks of the
// second may start where there is room.
__device__ __forceinline__ void let_next_kernel_start() {
  cudaTriggerProgrammaticLaunchCompletion();
}

// In the second kernel, by all threads, before one touches what the first does: the first has
// ended. What came before the first has ended only if that waited before it let the second start,
// or was launched in order; else nothing is touched before the wait. Every kernel that is launched
// so waits somewhere, and be it at its end: whoever waits for it takes all that came before for
// done.
__device__ __forceinline__ void wait_for_kernel_before() { cudaGridDependencySynchronize(); }

inline cudaLaunchAttribute overlap_attribute() {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  return overlap;
}

// The second kernel. Throws CudaError.
template <class Kernel, class... Arguments>
void launch_overlapped(Kernel kernel, const Grid& grid, cudaStream_t stream,
                       const Arguments&... arguments) {
  cudaLaunchAttribute attributes[] = {overlap_attribute()};
  launch_with(attributes, kernel, grid, stream, arguments...);
}

// The second kernel, whose blocks, up to 16, run together as one cluster. Throws CudaError.
template <class Kernel, class... Arguments>
void launch_overlapped_cluster(Kernel kernel, const Grid& grid, cudaStream_t stream,
                               const Arguments&... arguments) {
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  cudaLaunchAttribute cluster = {};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = grid.blocks.x;
  cluster.val.clusterDim.y = 1;
  cluster.val.clusterDim.z = 1;
  cudaLaunchAttribute attributes[] = {overlap_attribute(), cluster};
  launch_with(attributes, kernel, grid, stream, arguments...);
}

}  // namespace pairedhead::gpu
