#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace pairedhead::gpu {

// A CUDA call failed: which one, where, and the driver's message.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  throw CudaError(std::string(call) + " at " + file + ":" + std::to_string(line) + ": " +
                  cudaGetErrorName(status) + ", " + cudaGetErrorString(status));
}

// The driver API's own status: its messages need libcuda, which this project does not link.
inline void check(CUresult status, const char* call, const char* file, int line) {
  if (status == CUDA_SUCCESS) return;
  throw CudaError(std::string(call) + " at " + file + ":" + std::to_string(line) +
                  ": driver error " + std::to_string(static_cast<int>(status)));
}

}  // namespace pairedhead::gpu

#define CUDA_CHECK(call) ::pairedhead::gpu::check((call), #call, __FILE__, __LINE__)
