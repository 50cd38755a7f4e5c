#pragma once

#include "tools/bench/bench_plan.h"
#include "tools/bench/measurement.h"
#include "tools/targets/gpu_target.h"

namespace pairedhead {

// The head and the loss of a training step, launch by launch and together (RecordHead), T of the
// setting's parameters; C and V are the record's. Afterwards the gradients of the timed launches
// are held against fresh ones, bit for bit, and blocks of everything against the reference; throws
// InputError where they differ.
std::vector<Measurement> measure_head(GpuTarget& target, const BenchSetting& setting);

}  // namespace pairedhead
