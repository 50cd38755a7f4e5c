#include "gpu/timeline.h"

#include <algorithm>

namespace pairedhead::gpu {

std::vector<std::pair<std::string, double>> Timeline::milliseconds() const {
  std::vector<std::pair<std::string, double>> sums;
  if (parts_.empty()) return sums;
  CUDA_CHECK(cudaEventSynchronize(events_[parts_.size()]));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    float elapsed = 0;
    CUDA_CHECK(cudaEventElapsedTime(&elapsed, events_[i], events_[i + 1]));
    auto found = std::find_if(sums.begin(), sums.end(),
                              [&](const auto& sum) { return sum.first == parts_[i]; });
    if (found == sums.end()) found = sums.insert(sums.end(), {parts_[i], 0.0});
    found->second += static_cast<double>(elapsed);
  }
  return sums;
}

}  // namespace pairedhead::gpu
