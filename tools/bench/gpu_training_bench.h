#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "reference/config.h"
#include "tools/train/training_device.h"

namespace pairedhead {

// A phase of the schedule (SPEC §7.1) as a device takes its steps.
struct PhaseTiming {
  Index batch_tokens = 0, sequence = 0;  // tokens of a step, of a forward pass
  double milliseconds = 0;               // of a step, median
  StepParts parts;                       // of one of them, adding up to it
  double tokens_per_second() const {
    return static_cast<double>(batch_tokens) / (milliseconds * 1e-3);
  }
};

struct TrainingTiming {
  std::string configuration, device;
  double first_step_seconds = 0;  // from the start until the first step is done
  double gigabytes = 0;           // of device memory
  std::vector<PhaseTiming> phases;
};

// Trains the whole of a schedule that has `steps` steps a phase, each step timed; the first two of
// a phase are warm-up. data: a pattern of .bin shards, cycled, or "synthetic". Throws what the
// trainer throws, InputError on fewer than four steps.
TrainingTiming time_training(const reference::Config& config, const std::string& data, Index steps);

std::string training_bench_table(const TrainingTiming& timing);
nlohmann::json training_bench_json(const TrainingTiming& timing);

}  // namespace pairedhead
