#include "tools/bench/gpu_timing.h"

#include <vector>

#include "tools/bench/measurement.h"

namespace pairedhead {
namespace {

constexpr int warm_up_launches = 10;
constexpr int timed_launches = 60;

class Event {
 public:
  Event() { CUDA_CHECK(cudaEventCreate(&event_)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

double median_milliseconds(const gpu::Stream& stream, const Launch& launch, const Launch& before) {
  for (int i = 0; i < warm_up_launches; ++i) {
    if (before) before(stream);
    launch(stream);
  }
  std::vector<Event> starts(timed_launches), ends(timed_launches);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    if (before) before(stream);
    CUDA_CHECK(cudaEventRecord(starts[i], stream));
    launch(stream);
    CUDA_CHECK(cudaEventRecord(ends[i], stream));
  }
  stream.synchronize();
  std::vector<double> samples;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    float milliseconds = 0;
    CUDA_CHECK(cudaEventElapsedTime(&milliseconds, starts[i], ends[i]));
    samples.push_back(static_cast<double>(milliseconds));
  }
  return median(samples);
}

}  // namespace pairedhead
