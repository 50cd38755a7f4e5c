#pragma once

#include <cuda_runtime.h>

#include <string>
#include <utility>
#include <vector>

#include "gpu/error.h"

namespace pairedhead::gpu {

// Where the time on a stream goes: marks split it into parts that add up to the whole. One for a
// thread; nothing is recorded until begin().
class Timeline {
 public:
  Timeline() = default;
  ~Timeline() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  // Forgets what was recorded; the first part begins here.
  void begin(cudaStream_t stream) {
    parts_.clear();
    record(stream);
  }

  // What the stream has done since the last mark belongs to `part`.
  void mark(std::string part, cudaStream_t stream) {
    parts_.push_back(std::move(part));
    record(stream);
  }

  // Waits for the last mark. Milliseconds by part, in the order in which they first occurred.
  std::vector<std::pair<std::string, double>> milliseconds() const;

 private:
  void record(cudaStream_t stream) {
    if (events_.size() == parts_.size()) {
      events_.push_back(nullptr);
      CUDA_CHECK(cudaEventCreate(&events_.back()));
    }
    CUDA_CHECK(cudaEventRecord(events_[parts_.size()], stream));
  }

  std::vector<cudaEvent_t> events_;  // one more than parts, reused
  std::vector<std::string> parts_;
};

}  // namespace pairedhead::gpu
