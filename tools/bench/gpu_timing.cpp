#include "tools/bench/gpu_timing.h"

#include <algorithm>
#include <vector>

#include "tools/bench/measurement.h"

namespace pairedhead {
namespace {

constexpr int warm_up_launches = 10;
// A product before draws so much power that clocks go down. Ten launches and 60 samples of 0.5 ms
// were not enough for them to come back; this is.
constexpr double warm_up_milliseconds = 100;
constexpr int timed_samples = 60;
// Two events take 2 us of their own, a tenth of the shortest kernels: those are launched one behind
// the other, as a step does, until a sample lasts so long.
constexpr double least_milliseconds = 0.3;

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
  const auto warm_up = [&](int launches) {
    for (int i = 0; i < launches; ++i) {
      if (before) before(stream);
      launch(stream);
    }
  };
  warm_up(warm_up_launches);
  const auto sample = [&](const Event& start, const Event& end, int launches) {
    if (before) before(stream);
    CUDA_CHECK(cudaEventRecord(start, stream));
    for (int i = 0; i < launches; ++i) launch(stream);
    CUDA_CHECK(cudaEventRecord(end, stream));
  };
  const auto milliseconds = [](const Event& start, const Event& end) {
    float elapsed = 0;
    CUDA_CHECK(cudaEventElapsedTime(&elapsed, start, end));
    return static_cast<double>(elapsed);
  };
  std::vector<Event> starts(timed_samples), ends(timed_samples);
  sample(starts[0], ends[0], 1);
  stream.synchronize();
  const double alone = milliseconds(starts[0], ends[0]);
  warm_up(static_cast<int>(warm_up_milliseconds / alone));
  const int launches = std::max(1, static_cast<int>(least_milliseconds / alone));
  for (std::size_t i = 0; i < starts.size(); ++i) sample(starts[i], ends[i], launches);
  stream.synchronize();
  std::vector<double> samples;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    samples.push_back(milliseconds(starts[i], ends[i]) / launches);
  }
  return median(samples);
}

}  // namespace pairedhead
