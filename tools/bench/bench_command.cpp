#include "tools/bench/bench_command.h"

#include <fmt/format.h>

#include <memory>

#include "tools/bench/bench_plan.h"
#include "tools/bench/measurement.h"
#include "tools/report/progress.h"
#include "tools/report/write_file.h"
#include "tools/targets/target.h"
#ifdef PAIREDHEAD_HAS_CUDA
#include "tools/bench/gpu_measure.h"
#endif

namespace pairedhead {
namespace {

struct Arguments {
  std::vector<std::string> components;
  std::string shard, json;
};

void run(const Arguments& arguments) {
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
  auto* command = app.add_subcommand("bench", "Time our kernels at the record's shapes");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--component", arguments->components, "only this row (may be repeated)");
  command->add_option("--data", arguments->shard,
                      "a .bin shard whose document lengths are timed as well");
  command->add_option("--json", arguments->json, "also write the measurements as JSON");
  command->callback([arguments, &exit_code] {
    run(*arguments);
    exit_code = 0;
  });
}

}  // namespace pairedhead
