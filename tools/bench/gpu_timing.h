#pragma once

#include <functional>

#include "gpu/device_buffer.h"

namespace pairedhead {

using Launch = std::function<void(cudaStream_t)>;

// What a warm launch takes, the median of many samples between two events: a launch each, or as
// many short ones as fill 0.3 ms. `before` each launch, untimed, which is then a sample by itself;
// may be empty.
double median_milliseconds(const gpu::Stream& stream, const Launch& launch,
                           const Launch& before = {});

}  // namespace pairedhead
