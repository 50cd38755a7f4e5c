#pragma once

#include <functional>

#include "gpu/device_buffer.h"

namespace pairedhead {

using Launch = std::function<void(cudaStream_t)>;

// The median of many warm launches, each between two events. `before` each launch, untimed; may be
// empty.
double median_milliseconds(const gpu::Stream& stream, const Launch& launch,
                           const Launch& before = {});

}  // namespace pairedhead
