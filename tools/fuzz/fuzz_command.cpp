#include "tools/fuzz/fuzz_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <random>

#include "tools/options/whole_number.h"
#include "tools/report/progress.h"
#include "tools/report/report.h"
#include "tools/verify/selection.h"

namespace pairedhead {
namespace {

using Clock = std::chrono::steady_clock;

// Cases of a component before the next one has its turn.
constexpr Index cases_a_turn = 40;

struct Arguments {
  double minutes = 0;
  std::string target = "emulated";
  std::vector<std::string> components;
  std::vector<std::string> reports;
  std::optional<std::uint64_t> seed;
  std::string corpus = ".pairedhead-corpus";
  int threads = 0;
};

// The first turn replays the corpus and runs the edges; later ones draw new cases only.
ComponentResult take_turn(const Component& component, Target& target, VerifyOptions options,
                          Index turn, const CaseCallback& on_case) {
  options.seed += static_cast<std::uint64_t>(turn);
  if (turn == 0) return run_component(component, target, options, on_case);
  auto plan = plan_cases(component, options.seed, options.cases);
  plan.erase(plan.begin(), plan.begin() + static_cast<std::ptrdiff_t>(component.edges.size()));
  return run_plan(component, target, plan, options, on_case);
}

// Turns over all components until the time is over. One that failed is left alone: its first
// failure is what there is to mend.
std::vector<ComponentResult> fuzz_until(Clock::time_point end, Target& target,
                                        const std::vector<const Component*>& components,
                                        const VerifyOptions& options) {
  Progress progress(0, std::chrono::duration<double>(end - Clock::now()).count());
  std::vector<ComponentResult> results;
  bool left = true;
  for (Index turn = 0; left && (turn == 0 || Clock::now() < end); ++turn) {
    left = false;
    for (std::size_t n = 0; n < components.size(); ++n) {
      const Component& component = *components[n];
      if (turn > 0 && (results[n].status != Status::passed || Clock::now() >= end)) continue;
      const auto result = take_turn(component, target, options, turn, [&](const CaseResult&) {
        progress.step(component.name);
        return Clock::now() < end;
      });
      if (turn == 0) {
        results.push_back(result);
      } else {
        add_to(results[n], result);
      }
      left = left || results[n].status == Status::passed;
    }
  }
  return results;
}

int fuzz(const Arguments& arguments) {
  for (const std::string& path : arguments.reports) check_report_path(path);
  const auto components = select_components(arguments.components);
  const auto target = make_target(arguments.target);

  VerifyOptions options;
  options.cases = cases_a_turn;
  options.threads = arguments.threads;
  options.target = arguments.target;
  options.corpus = arguments.corpus;
  options.seed = arguments.seed ? *arguments.seed : std::random_device{}();

  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(60 * arguments.minutes));
  Report report;
  report.target = arguments.target;
  report.seed = options.seed;
  report.components = fuzz_until(end, *target, components, options);
  report.seconds = std::chrono::duration<double>(Clock::now() - start).count();

  fmt::print("{}", console_report(report, is_terminal(STDOUT_FILENO)));
  for (const std::string& path : arguments.reports) write_report(path, report);
  if (report.cases() == 0) throw InputError("fuzz: no case was run, so nothing was verified");
  return report.failed() == 0 ? 0 : 1;
}

}  // namespace

void add_fuzz_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("fuzz", "Draw new cases against a target for some time");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--minutes", arguments->minutes, "How long")
      ->required()
      ->check(CLI::PositiveNumber);
  command->add_option("--target", arguments->target, "emulated, rounded, gpu or exec:CMD")
      ->capture_default_str();
  command->add_option("--component", arguments->components, "One row of the table (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--corpus", arguments->corpus, "Folder of cases that failed")
      ->capture_default_str();
  command
      ->add_option("--report", arguments->reports, "FILE.json, FILE.xml or FILE.html (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--seed", arguments->seed, "Of the first turn (default: a new one)")
      ->check(any_seed());
  command->add_option("--threads", arguments->threads, "Cases judged at once (0: all cores)")
      ->capture_default_str()
      ->check(count_from(0));
  command->callback([arguments, &exit_code] { exit_code = fuzz(*arguments); });
}

}  // namespace pairedhead
