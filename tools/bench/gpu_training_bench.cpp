#include "tools/bench/gpu_training_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "reference/schedule.h"
#include "tools/bench/measurement.h"
#include "tools/bench/phases.h"

namespace pairedhead {
namespace {

constexpr Index warm_up = 2;
constexpr std::uint64_t seed = 1;

// The record's own PyTorch program on one H100 80GB HBM3 (torch 2.11, FlashAttention-3), ms a step
// by tokens a step, medians.
const std::map<Index, double>& peer_milliseconds() {
  static const std::map<Index, double> figures = {{131072, 254}, {262144, 476}, {393216, 686}};
  return figures;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::optional<double> peer_of(const TrainingTiming& timing, const PhaseTiming& phase) {
  const auto found = peer_milliseconds().find(phase.batch_tokens);
  if (timing.configuration != "record" || found == peer_milliseconds().end()) return std::nullopt;
  return found->second;
}

}  // namespace

TrainingTiming time_training(const reference::Config& config, const std::string& data,
                             Index steps) {
  const reference::TrainerSettings settings = settings_of_phases(config, steps, warm_up + 2);
  const reference::ScheduleSettings& schedule = settings.config.schedule;

  const auto start = std::chrono::steady_clock::now();
  reference::TrainingData text =
      data == "synthetic" ? reference::TrainingData::synthetic(settings.config, seed)
                          : reference::TrainingData::from_shards(settings.config, data, "", true);
  const auto device = make_gpu_device(settings, true);
  device->measure_parts();
  device->start(initial_parameters(settings.config, seed));

  TrainingTiming timing;
  timing.configuration = config.name;
  timing.device = device->words();
  timing.gigabytes = static_cast<double>(device->memory_bytes().value_or(0)) / 1e9;
  std::vector<double> samples;
  for (Index step = 0; step < schedule.scheduled; ++step) {
    const auto sequences = step_sequences(text, step, settings);
    const auto begin = std::chrono::steady_clock::now();
    device->train_step(sequences);
    StepParts parts = device->step_parts();  // waits for the step's end
    if (step == 0) timing.first_step_seconds = seconds_since(start);
    if (step % steps >= warm_up) samples.push_back(1e3 * seconds_since(begin));
    if (step % steps < steps - 1) continue;
    timing.phases.push_back({.batch_tokens = batch_tokens(step, schedule),
                             .sequence = sequence_length(step, schedule),
                             .milliseconds = median(samples),
                             .parts = std::move(parts)});
    samples.clear();
  }
  return timing;
}

std::string training_bench_table(const TrainingTiming& timing) {
  std::string table =
      fmt::format("configuration {}, {}: {:.1f} GB, first step after {:.1f} s\n",
                  timing.configuration, timing.device, timing.gigabytes, timing.first_step_seconds);
  const auto line = [&](const std::string& name, const auto& cell) {
    table += fmt::format("{:<20}", name);
    for (const PhaseTiming& phase : timing.phases) table += fmt::format(" {:>10}", cell(phase));
    table += '\n';
  };
  line("tokens a step", [](const PhaseTiming& p) { return std::to_string(p.batch_tokens); });
  line("T", [](const PhaseTiming& p) { return std::to_string(p.sequence); });
  line("ms a step", [](const PhaseTiming& p) { return fmt::format("{:.1f}", p.milliseconds); });
  line("tokens/s",
       [](const PhaseTiming& p) { return fmt::format("{:.0f}", p.tokens_per_second()); });
  line("peer, ms", [&](const PhaseTiming& p) {
    const auto peer = peer_of(timing, p);
    return peer ? fmt::format("{:.0f}", *peer) : "-";
  });
  line("ours/peer", [&](const PhaseTiming& p) {
    const auto peer = peer_of(timing, p);
    return peer ? fmt::format("{:.2f}", p.milliseconds / *peer) : "-";
  });
  table += "of the last step, ms:\n";
  for (const auto& named : timing.phases.at(0).parts) {
    line("  " + named.first, [&](const PhaseTiming& p) {
      const auto part = std::find_if(p.parts.begin(), p.parts.end(),
                                     [&](const auto& entry) { return entry.first == named.first; });
      return part == p.parts.end() ? "-" : fmt::format("{:.2f}", part->second);
    });
  }
  line("  sum", [](const PhaseTiming& p) {
    double sum = 0;
    for (const auto& part : p.parts) sum += part.second;
    return fmt::format("{:.2f}", sum);
  });
  return table;
}

nlohmann::json training_bench_json(const TrainingTiming& timing) {
  nlohmann::json json = {{"configuration", timing.configuration},
                         {"device", timing.device},
                         {"gigabytes", timing.gigabytes},
                         {"first_step_seconds", timing.first_step_seconds},
                         {"phases", nlohmann::json::array()}};
  for (const PhaseTiming& phase : timing.phases) {
    nlohmann::json entry = {{"batch_tokens", phase.batch_tokens},
                            {"sequence", phase.sequence},
                            {"milliseconds", phase.milliseconds},
                            {"tokens_per_second", phase.tokens_per_second()},
                            {"parts", nlohmann::json::object()}};
    for (const auto& [name, milliseconds] : phase.parts) entry["parts"][name] = milliseconds;
    if (const auto peer = peer_of(timing, phase)) entry["peer_milliseconds"] = *peer;
    json["phases"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace pairedhead
