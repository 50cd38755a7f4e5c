#include "tools/verify/verify_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "tools/options/whole_number.h"
#include "tools/record/recorder.h"
#include "tools/report/html_report.h"
#include "tools/report/progress.h"
#include "tools/report/write_file.h"
#include "tools/verify/calibration.h"
#include "tools/verify/selection.h"

namespace pairedhead {
namespace {

struct Arguments {
  std::string target = "emulated";
  std::vector<std::string> components;
  std::string one_case;
  std::string shard;
  std::vector<std::string> reports;
  std::string kills;
  std::vector<std::string> training;
  VerifyOptions options;
  bool full_size = false;
  bool record = false;
  std::string record_path, replay, calibration;
  std::string source_dir = ".";
};

Index planned_cases(const std::vector<const Component*>& components, Target& target,
                    const VerifyOptions& options) {
  Index total = 0;
  for (const Component* component : components) {
    if (target.skips(*component)) continue;
    total += (static_cast<Index>(component->edges.size()) + options.cases) / options.shard.parts;
  }
  return total;
}

using OnResult = std::function<void(const std::string& component, const CaseResult& result)>;

std::vector<ComponentResult> run_all(const std::vector<const Component*>& components,
                                     Target& target, const VerifyOptions& options,
                                     const OnResult& on_result) {
  Progress progress(planned_cases(components, target, options));
  std::vector<ComponentResult> results;
  for (const Component* component : components) {
    results.push_back(run_component(*component, target, options, [&](const CaseResult& result) {
      progress.step(component->name);
      on_result(component->name, result);
      return true;
    }));
  }
  return results;
}

ComponentResult run_one(const Arguments& arguments, Target& target) {
  if (arguments.components.size() != 1) {
    throw InputError(fmt::format("--case: expected exactly one --component, got {}",
                                 arguments.components.size()));
  }
  const Component& component = component_named(arguments.components[0]);
  VerifyOptions options = arguments.options;
  options.shrink = false;
  return run_plan(component, target,
                  {{Parameters::parse(arguments.one_case), arguments.options.seed}}, options);
}

// Read before the run, so that a wrong name loses no work.
HtmlExtras read_extras(const Arguments& arguments) {
  HtmlExtras extras;
  if (!arguments.kills.empty()) extras.kills = read_kill_lines(arguments.kills);
  for (const std::string& path : arguments.training) {
    extras.training.push_back(read_training_log(path));
  }
  return extras;
}

void write_reports(const Arguments& arguments, const Report& report, HtmlExtras extras,
                   Target& target) {
  for (const std::filesystem::path path : arguments.reports) {
    const bool pictures = path.extension() == ".html";
    if (const auto worst = worst_case(report); pictures && worst) {
      extras.error_map =
          error_map(component_named(worst->component), target, worst->planned, worst->output);
    }
    write_report(path, report, extras);
  }
}

int verify(Arguments arguments) {
  for (const std::string& path : arguments.reports) check_report_path(path);
  check_folder_of("--calibration", arguments.calibration);
  const HtmlExtras extras = read_extras(arguments);
  if (!arguments.shard.empty()) arguments.options.shard = parse_shard(arguments.shard);
  arguments.options.target = arguments.target;
  const auto components = select_components(arguments.components);
  const auto target = make_target(arguments.target);

  if (!arguments.replay.empty()) return replay_record(arguments.replay, *target) ? 0 : 1;
  std::optional<Recorder> recorder;
  if (arguments.record || arguments.full_size) {
    recorder.emplace(arguments.source_dir, arguments.options.seed);
  }
  Calibration calibration;
  const auto note = [&](const std::string& component, const CaseResult& result) {
    if (recorder) recorder->add(component, result);
    if (!arguments.calibration.empty()) calibration.add(component, result);
  };

  const auto start = std::chrono::steady_clock::now();
  Report report;
  report.target = arguments.target;
  report.seed = arguments.options.seed;
  if (arguments.one_case.empty()) {
    report.components = run_all(components, *target, arguments.options, note);
  } else {
    report.components = {run_one(arguments, *target)};
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  fmt::print("{}", console_report(report, is_terminal(STDOUT_FILENO)));
  write_reports(arguments, report, extras, *target);
  if (report.cases() == 0) {
    throw InputError("verify: no case was run, so nothing was verified");
  }
  if (!arguments.calibration.empty()) {
    write_file(arguments.calibration, calibration.json().dump(1) + "\n");
    fmt::print("{}", calibration.markdown());
  }
  bool holds = report.failed() == 0;
  if (arguments.full_size) holds = recorder->check_shapes(*target) && holds;
  if (arguments.record) {
    // A record promises bits, so a kernel that gave others on a second call has none.
    for (const ComponentResult& component : report.components) {
      if (component.unrepeatable == 0) continue;
      fmt::print("{}: {} cases gave other bits on a second call\n", component.name,
                 component.unrepeatable);
      holds = false;
    }
  }
  if (arguments.record && holds) {
    fmt::print("record written to {}\n", recorder->write(arguments.record_path).string());
  }
  return holds ? 0 : 1;
}

}  // namespace

void add_verify_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("verify", "Hold a target against the reference");
  auto arguments = std::make_shared<Arguments>();
  VerifyOptions& options = arguments->options;
  command->add_option("--target", arguments->target, "emulated, rounded, gpu or exec:CMD")
      ->capture_default_str();
  command->add_option("--component", arguments->components, "One row of the table (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--cases", options.cases, "Fuzzed cases a component, after its edges")
      ->capture_default_str()
      ->check(count_from(0));
  command->add_option("--seed", options.seed, "Of the run, or of the case that --case names")
      ->capture_default_str()
      ->check(any_seed());
  command
      ->add_option("--case", arguments->one_case,
                   "Run only this case of one component, \"D=16 H=2 ...\"")
      ->excludes(command->get_option("--cases"));
  command
      ->add_option("--report", arguments->reports, "FILE.json, FILE.xml or FILE.html (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--kills", arguments->kills,
                      "FILE.json of mutants --json, shown in an HTML report");
  command
      ->add_option("--training", arguments->training,
                   "A training log shown in an HTML report; repeated, the others are the ensemble")
      ->allow_extra_args(false);
  command->add_option("--shard", arguments->shard, "i/n: the i-th of n parts of the cases")
      ->excludes(command->get_option("--case"));
  command
      ->add_option("--corpus", options.corpus,
                   "Folder of cases that failed: replayed first, new ones are added")
      ->excludes(command->get_option("--case"));
  command->add_option("--threads", options.threads, "Cases judged at once (0: all cores)")
      ->capture_default_str()
      ->check(count_from(0));
  command->add_flag("--full-size", arguments->full_size,
                    "Also the record's own shapes: exhaustive mask census and sampled rows");
  command
      ->add_option("--record", arguments->record_path,
                   "Write the verification record if all holds; without FILE to "
                   "golden/verified/<device>.json")
      ->expected(0, 1)
      ->excludes(command->get_option("--case"));
  command->add_option("--replay", arguments->replay,
                      "Run a verification record's cases again and compare their output bits");
  command->add_option("--calibration", arguments->calibration,
                      "FILE.json: how the ratios of all cases are distributed");
  command->add_option("--source-dir", arguments->source_dir, "The project, for the fingerprint")
      ->capture_default_str();
  command->callback([arguments, command, &exit_code] {
    arguments->record = command->count("--record") > 0;
    exit_code = verify(*arguments);
  });
}

}  // namespace pairedhead
