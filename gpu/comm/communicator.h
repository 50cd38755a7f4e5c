#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "gpu/error.h"

namespace pairedhead::gpu {

// Device memory that goes to a rank, or comes from it.
struct Message {
  int peer;
  void* data;
  std::size_t bytes;
};

// The ranks of a run, each with a device of its own. All ranks call the same functions in the same
// order. Throws InputError with one sentence where a rank does not come or has left, CudaError
// where a transfer fails.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Enqueues transfers, all at once: the n-th message that a rank sends to another is the n-th that
  // the other receives of it, with as many bytes. None goes to the rank itself, and none that
  // arrives overlaps one that leaves.
  virtual void exchange(std::span<const Message> sent, std::span<const Message> received,
                        cudaStream_t stream) = 0;

  // Waits for the stream, and no longer than there is hope.
  virtual void wait(cudaStream_t stream) = 0;

  // Bytes of the host: those of all ranks, one behind the other by rank.
  virtual std::vector<std::byte> gather(std::span<const std::byte> mine) = 0;

  template <class T>
  std::vector<T> gather_values(std::span<const T> mine) {
    const std::vector<std::byte> bytes = gather(std::as_bytes(mine));
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  // Whether it is so on any rank.
  bool any(bool mine) {
    const std::byte flag{mine};
    const std::vector<std::byte> flags = gather({&flag, 1});
    return std::any_of(flags.begin(), flags.end(),
                       [](std::byte one) { return one != std::byte{}; });
  }
};

// One rank, with nobody to talk to.
class SingleRank final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void exchange(std::span<const Message> sent, std::span<const Message> received,
                cudaStream_t) override {
    if (!sent.empty() || !received.empty()) throw std::logic_error("SingleRank: to whom?");
  }
  void wait(cudaStream_t stream) override { CUDA_CHECK(cudaStreamSynchronize(stream)); }
  std::vector<std::byte> gather(std::span<const std::byte> mine) override {
    return {mine.begin(), mine.end()};
  }
};

inline Communicator& single_rank() {
  static SingleRank rank;  // has no state
  return rank;
}

}  // namespace pairedhead::gpu
