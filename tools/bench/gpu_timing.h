#pragma once

#include <functional>

#include "gpu/device_buffer.h"

namespace pairedhead {

using Launch = std::function<void(cudaStream_t)>;

// What a warm launch takes, the median of many samples between two events: a launch each, or as
// many short ones as fill 0.3 ms. `before`, which may be empty, comes before each sample,
// untimed; a kernel in place, for which it lays its input ready, works on its own result in the
// sample's later launches. Before each launch, what `before` wrote would still be on its way out of
// L2 while that is timed.
double median_milliseconds(const gpu::Stream& stream, const Launch& launch,
                           const Launch& before = {});

}  // namespace pairedhead
