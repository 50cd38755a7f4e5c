#include "tools/bench/cpu_training_bench.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>

#include "reference/trainer.h"
#include "tools/bench/measurement.h"
#include "tools/bench/phases.h"

namespace pairedhead {
namespace {

constexpr Index warm_up = 1;
constexpr std::uint64_t seed = 1;

}  // namespace

CpuTrainingTiming time_cpu_training(const reference::Config& config, Index steps) {
  const reference::TrainerSettings settings = settings_of_phases(config, steps, warm_up + 1);
  const reference::ScheduleSettings& schedule = settings.config.schedule;
  auto text = reference::TrainingData::synthetic(settings.config, seed);
  auto state = start_training(settings, initial_parameters(settings.config, seed));

  CpuTrainingTiming timing{config.name, omp_get_max_threads(), {}};
  std::vector<double> samples;
  for (Index step = 0; step < schedule.scheduled; ++step) {
    const auto sequences = step_sequences(text, step, settings);
    const auto begin = std::chrono::steady_clock::now();
    train_step(state, sequences, settings);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - begin;
    if (step % steps >= warm_up) samples.push_back(taken.count());
    if (step % steps < steps - 1) continue;
    timing.phases.push_back({.batch_tokens = batch_tokens(step, schedule),
                             .sequence = sequence_length(step, schedule),
                             .median = median(samples),
                             .fastest = *std::min_element(samples.begin(), samples.end())});
    samples.clear();
  }
  return timing;
}

std::string cpu_training_table(const CpuTrainingTiming& timing) {
  std::string table = fmt::format("configuration {}, reference in Exact, {} threads\n",
                                  timing.configuration, timing.threads);
  table += fmt::format("{:>13} {:>5} {:>10} {:>11} {:>9}\n", "tokens a step", "T", "median ms",
                       "fastest ms", "tokens/s");
  for (const CpuPhaseTiming& phase : timing.phases) {
    table += fmt::format("{:>13} {:>5} {:>10.1f} {:>11.1f} {:>9.0f}\n", phase.batch_tokens,
                         phase.sequence, phase.median, phase.fastest, phase.tokens_per_second());
  }
  return table;
}

nlohmann::json cpu_training_json(const CpuTrainingTiming& timing) {
  nlohmann::json json = {{"configuration", timing.configuration},
                         {"threads", timing.threads},
                         {"phases", nlohmann::json::array()}};
  for (const CpuPhaseTiming& phase : timing.phases) {
    json["phases"].push_back({{"batch_tokens", phase.batch_tokens},
                              {"sequence", phase.sequence},
                              {"median_milliseconds", phase.median},
                              {"fastest_milliseconds", phase.fastest},
                              {"tokens_per_second", phase.tokens_per_second()}});
  }
  return json;
}

}  // namespace pairedhead
