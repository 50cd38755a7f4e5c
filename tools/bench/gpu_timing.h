#pragma once

#include <functional>

#include "gpu/device_buffer.h"

namespace pairedhead {

using Launch = std::function<void(cudaStream_t)>;

// What a warm launch takes, the median of many samples between two events: a launch each, or as
// many short ones as fill 0.3 ms. `before` comes before each sample, untimed, and may be empty:
// what it lays ready for a kernel that works in place, the launches behind the first of a sample
// have from the one before, for else each would pay for the lines that the copies left in L2.
double median_milliseconds(const gpu::Stream& stream, const Launch& launch,
                           const Launch& before = {});

}  // namespace pairedhead
