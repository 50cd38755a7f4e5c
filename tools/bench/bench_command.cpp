#include "tools/bench/bench_command.h"

#include <fmt/format.h>

#include <memory>

#include "reference/config.h"
#include "tools/bench/bench_plan.h"
#include "tools/bench/cpu_bench.h"
#include "tools/bench/cpu_training_bench.h"
#include "tools/bench/measurement.h"
#include "tools/options/whole_number.h"
#include "tools/report/progress.h"
#include "tools/report/write_file.h"
#include "tools/targets/target.h"
#ifdef PAIREDHEAD_HAS_CUDA
#include "tools/bench/gpu_measure.h"
#include "tools/bench/gpu_training_bench.h"
#endif

namespace pairedhead {
namespace {

struct Arguments {
  std::vector<std::string> components;
  std::string shard, json;
  std::string device = "gpu", peer;
  Index tokens = 256;
  int repeats = 5;
  std::string training;
  Index steps = 8;
};

void run_training_on_cpu(const Arguments& arguments) {
  const auto config = reference::config_named(arguments.training);
  if (!arguments.shard.empty()) {
    throw InputError("bench: --device cpu --training takes synthetic text, without --data");
  }
  const CpuTrainingTiming timing = time_cpu_training(config, arguments.steps);
  fmt::print("{}", cpu_training_table(timing));
  if (!arguments.json.empty()) {
    write_file(arguments.json, cpu_training_json(timing).dump(1) + "\n");
  }
}

void run_on_cpu(const Arguments& arguments) {
  if (!arguments.training.empty()) return run_training_on_cpu(arguments);
  if (arguments.shard.empty()) {
    throw InputError("bench: --device cpu needs --data, a .bin shard whose tokens are used");
  }
  std::vector<ModelTiming> timings = {
      time_reference_model(arguments.shard, arguments.tokens, arguments.repeats)};
  const double peak = peak_resident_gigabytes();
  if (!arguments.peer.empty()) {
    timings.push_back(
        time_peer_model(arguments.peer, arguments.shard, arguments.tokens, arguments.repeats));
  }
  fmt::print("{}", cpu_bench_table(timings, arguments.tokens, peak));
  if (!arguments.json.empty()) {
    write_file(arguments.json, cpu_bench_json(timings, arguments.tokens, peak).dump(1) + "\n");
  }
}

void run_training(const Arguments& arguments) {
  const reference::Config config = reference::config_named(arguments.training);
  make_target("gpu");  // says so, with exit code 3, where there is no device or no CUDA
#ifdef PAIREDHEAD_HAS_CUDA
  const std::string data = arguments.shard.empty() ? "synthetic" : arguments.shard;
  const TrainingTiming timing = time_training(config, data, arguments.steps);
  fmt::print("{}", training_bench_table(timing));
  if (!arguments.json.empty()) {
    write_file(arguments.json, training_bench_json(timing).dump(1) + "\n");
  }
#endif
}

void run(const Arguments& arguments) {
  check_folder_of("--json", arguments.json);
  if (arguments.device == "cpu") return run_on_cpu(arguments);
  if (!arguments.training.empty()) return run_training(arguments);
  const auto plan = bench_plan(arguments.components, arguments.shard);
  // Says so, with exit code 3, where there is no device or this build has no CUDA.
  const auto target = make_target("gpu");
#ifdef PAIREDHEAD_HAS_CUDA
  auto& gpu = dynamic_cast<GpuTarget&>(*target);
  const Ceilings ceilings = measure_ceilings(gpu);
  Progress progress(static_cast<Index>(plan.size()));
  std::vector<Measurement> measurements;
  for (const BenchSetting& setting : plan) {
    progress.step(setting.component);
    for (Measurement& m : measure(gpu, setting)) measurements.push_back(std::move(m));
  }
  fmt::print("{}", bench_table(ceilings, measurements));
  if (!arguments.json.empty()) {
    write_file(arguments.json, bench_json(ceilings, measurements).dump(1) + "\n");
  }
#endif
}

}  // namespace

void add_bench_command(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("bench", "Time our kernels at the record's shapes, or the reference");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--component", arguments->components, "only this row (may be repeated)");
  command->add_option("--data", arguments->shard,
                      "a .bin shard whose document lengths are timed as well; training: a pattern");
  command->add_option("--json", arguments->json, "also write the measurements as JSON");
  command->add_option("--device", arguments->device, "gpu: kernels; cpu: the reference")
      ->check(CLI::IsMember({"gpu", "cpu"}));
  command->add_option("--tokens", arguments->tokens, "cpu: tokens of the one forward pass")
      ->check(count_from(1));
  command->add_option("--repeats", arguments->repeats, "cpu: runs to take the median of")
      ->check(count_from(1));
  command->add_option("--peer", arguments->peer,
                      "cpu: a command that times the same model, tools/bench/pytorch_model.py");
  command->add_option("--training", arguments->training,
                      "time whole steps of this configuration, by phase; on a GPU also by part");
  command->add_option("--steps", arguments->steps, "training: steps a phase")->check(count_from(1));
  command->callback([arguments, &exit_code] {
    run(*arguments);
    exit_code = 0;
  });
}

}  // namespace pairedhead
