#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gpu/error.h"

namespace pairedhead::gpu {

// A stream of its own; work on it does not wait for other streams.
class Stream {
 public:
  Stream() { CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  operator cudaStream_t() const { return stream_; }
  // Waits, and throws CudaError for whatever went wrong on it.
  void synchronize() const { CUDA_CHECK(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

// Device memory, freed with its owner.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : bytes_(bytes) {
    if (bytes > 0) CUDA_CHECK(cudaMalloc(&data_, bytes));
  }
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

// Device memory between two guard zones, reused from case to case: it grows and never shrinks. The
// zone behind begins at the byte after the last, so the smallest overrun is seen. All bits of a
// zone are ones: a NaN in bf16 and fp32, so that reading a zone is seen as well, in what it does to
// the outputs.
class GuardedBuffer {
 public:
  static constexpr std::size_t guard_bytes = 1024;
  static constexpr int guard_value = 0xff;

  explicit GuardedBuffer(std::string name) : name_(std::move(name)), memory_(0) {}

  // Room for `bytes` with fresh guards, 256-byte aligned, contents all ones: poison.
  void reset(std::size_t bytes, cudaStream_t stream) {
    const std::size_t all = bytes + 2 * guard_bytes;
    if (all > memory_.bytes()) {
      // The old memory must be gone first: the two may not fit together.
      CUDA_CHECK(cudaStreamSynchronize(stream));
      memory_ = DeviceMemory(0);
      memory_ = DeviceMemory(all);
    }
    bytes_ = bytes;
    CUDA_CHECK(cudaMemsetAsync(memory_.data(), guard_value, all, stream));
  }

  void reset(const void* contents, std::size_t bytes, cudaStream_t stream) {
    reset(bytes, stream);
    CUDA_CHECK(cudaMemcpyAsync(data(), contents, bytes, cudaMemcpyHostToDevice, stream));
  }

  void download(void* to, cudaStream_t stream) const {
    CUDA_CHECK(cudaMemcpyAsync(to, data(), bytes_, cudaMemcpyDeviceToHost, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
  }

  // What happened to the guard zones, in words, or nullopt if they are intact.
  std::optional<std::string> damage(cudaStream_t stream) const {
    std::vector<unsigned char> zone(guard_bytes);
    for (const bool behind : {false, true}) {
      const std::byte* from = behind ? data() + bytes_ : memory_.data();
      CUDA_CHECK(cudaMemcpyAsync(zone.data(), from, guard_bytes, cudaMemcpyDeviceToHost, stream));
      CUDA_CHECK(cudaStreamSynchronize(stream));
      const auto intact = [](unsigned char byte) { return byte == guard_value; };
      if (std::all_of(zone.begin(), zone.end(), intact)) continue;
      const auto first = static_cast<std::size_t>(
          std::find_if_not(zone.begin(), zone.end(), intact) - zone.begin());
      const auto last = guard_bytes - 1 -
                        static_cast<std::size_t>(
                            std::find_if_not(zone.rbegin(), zone.rend(), intact) - zone.rbegin());
      return behind ? name_ + " was written " + std::to_string(first) + " bytes behind its " +
                          std::to_string(bytes_) + " bytes"
                    : name_ + " was written " + std::to_string(guard_bytes - last) +
                          " bytes before its beginning";
    }
    return std::nullopt;
  }

  std::byte* data() const { return memory_.data() + guard_bytes; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data());
  }
  std::size_t bytes() const { return bytes_; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  DeviceMemory memory_;
  std::size_t bytes_ = 0;
};

}  // namespace pairedhead::gpu
