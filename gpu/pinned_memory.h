#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "gpu/error.h"

namespace pairedhead::gpu {

// Host memory that the device reads and writes while the host goes on.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes) { CUDA_CHECK(cudaMallocHost(&data_, bytes)); }
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

}  // namespace pairedhead::gpu
