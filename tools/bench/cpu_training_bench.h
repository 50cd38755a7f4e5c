#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reference/config.h"

namespace pairedhead {

// A phase of the schedule (SPEC §7.1) as the reference takes its steps, milliseconds a step.
struct CpuPhaseTiming {
  Index batch_tokens = 0, sequence = 0;  // tokens of a step, of a forward pass
  double median = 0, fastest = 0;
  double tokens_per_second() const { return static_cast<double>(batch_tokens) / (median * 1e-3); }
};

struct CpuTrainingTiming {
  std::string configuration;
  int threads = 0;
  std::vector<CpuPhaseTiming> phases;
};

// Trains the reference in Exact on synthetic text through the whole of a schedule that has `steps`
// steps a phase, each step timed; the first of a phase is warm-up. Throws InputError on fewer than
// two steps.
CpuTrainingTiming time_cpu_training(const reference::Config& config, Index steps);

std::string cpu_training_table(const CpuTrainingTiming& timing);
nlohmann::json cpu_training_json(const CpuTrainingTiming& timing);

}  // namespace pairedhead
