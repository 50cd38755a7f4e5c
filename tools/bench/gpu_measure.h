#pragma once

#include "tools/bench/bench_plan.h"
#include "tools/bench/measurement.h"
#include "tools/targets/gpu_target.h"

namespace pairedhead {

// Copy bandwidth over 1 GiB and the bf16 matrix rate at 8192^3, on device 0, medians.
Ceilings measure_ceilings(GpuTarget& target);

// Forward and, where there is one, backward of a setting: the median of many warm launches, each
// between two events. Afterwards the outputs of the timed launches are judged against a fresh run
// of the target, bit for bit: a kernel that is fast and wrong, or that changed its mind, throws
// InputError.
std::vector<Measurement> measure(GpuTarget& target, const BenchSetting& setting);

}  // namespace pairedhead
