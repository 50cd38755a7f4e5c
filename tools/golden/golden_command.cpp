#include "tools/golden/golden_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "tools/golden/golden_cases.h"
#include "tools/golden/golden_check.h"
#include "tools/options/whole_number.h"
#include "tools/report/progress.h"
#include "tools/verify/case_plan.h"
#include "tools/verify/selection.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

// The committed goldens are small enough to travel with the tree.
constexpr Index most_values = 14000;

struct WriteArguments {
  std::vector<std::string> components;
  std::string one_case;
  Index tokens = 0;
  std::uint64_t seed = 1;
  fs::path folder;
};

// The settings to write of one component, each with its seed.
std::vector<PlannedCase> planned(const Component& component, const WriteArguments& arguments) {
  if (!arguments.one_case.empty()) {
    return {{Parameters::parse(arguments.one_case), arguments.seed}};
  }
  if (arguments.tokens > 0) {
    return {{setting_of_size(component, arguments.tokens, arguments.seed), arguments.seed}};
  }
  std::vector<PlannedCase> plan;
  for (const Parameters& edge : small_edges(component, most_values)) {
    plan.push_back({edge, case_seed(arguments.seed, component.name, plan.size())});
  }
  return plan;
}

int write(WriteArguments arguments) {
  const bool own_setting = !arguments.one_case.empty() || arguments.tokens > 0;
  if (own_setting && arguments.components.empty()) {
    throw InputError("golden write: --case and --T need a --component");
  }
  if (own_setting && arguments.folder.empty()) {
    throw InputError("golden write: --case and --T need --out DIR, so that golden/ stays as it is");
  }
  if (arguments.folder.empty()) arguments.folder = "golden";
  std::error_code error;
  fs::create_directories(arguments.folder, error);
  if (error) {
    throw InputError(fmt::format("golden write: {} cannot be made: {}", arguments.folder.string(),
                                 error.message()));
  }
  const auto components = select_components(arguments.components);
  Progress progress(static_cast<Index>(components.size()));
  for (const Component* component : components) {
    std::vector<GoldenCase> cases;
    for (const PlannedCase& one : planned(*component, arguments)) {
      cases.push_back(reference_case(*component, one.parameters, one.seed,
                                     fmt::format("reference_{:02}", cases.size())));
    }
    const fs::path file = arguments.folder / (component->name + ".h5");
    write_golden(file, cases);
    fmt::print("{}: {} cases, {} bytes\n", file.string(), cases.size(), fs::file_size(file));
    progress.step(component->name);
  }
  return 0;
}

int check(const fs::path& folder) {
  Index cases = 0, failed = 0;
  for (const fs::path& file : golden_files(folder)) {
    double worst = 0;
    std::string worst_at;
    Index in_file = 0, failed_here = 0;
    for (const GoldenCase& golden : read_golden(file)) {
      const GoldenVerdict verdict = check_golden(golden);
      ++in_file;
      if (verdict.worst > worst) {
        worst = verdict.worst;
        worst_at = golden.name + "/" + verdict.worst_at;
      }
      if (verdict.holds()) continue;
      ++failed_here;
      for (const std::string& complaint : verdict.complaints) {
        fmt::print("FAILED {} {} ({}): {}\n", file.string(), golden.name, golden.parameters,
                   complaint);
      }
    }
    fmt::print("{}: {} of {} cases agree", file.string(), in_file - failed_here, in_file);
    fmt::print("{}\n",
               worst > 0 ? fmt::format(", worst {:.2g} of what is permitted at {}", worst, worst_at)
                         : ", bit for bit");
    cases += in_file;
    failed += failed_here;
  }
  fmt::print("{} goldens: {}\n", cases,
             failed == 0 ? "all agree" : fmt::format("{} disagree", failed));
  return failed == 0 ? 0 : 1;
}

int list(const fs::path& folder) {
  for (const fs::path& file : golden_files(folder)) {
    for (const GoldenCase& golden : read_golden(file)) {
      fmt::print("{} {} {} {} \"{}\" seed {}\n", file.string(), golden.name, golden.origin,
                 golden.component, golden.parameters, golden.seed);
    }
  }
  return 0;
}

int export_inputs(const fs::path& file, const fs::path& out) {
  std::vector<BatchCase> batch;
  for (const GoldenCase& golden : read_golden(file)) {
    BatchCase& one = batch.emplace_back();
    one.name = golden.name;
    one.component = golden.component;
    one.parameters = golden.parameters;
    one.seed = golden.seed;
    for (const auto& [name, array] : golden.inputs) one.arrays["inputs/" + name] = array;
  }
  write_batch(out, batch);
  fmt::print("{}: the inputs of {} cases\n", out.string(), batch.size());
  return 0;
}

void add_write(CLI::App& golden, int& exit_code) {
  CLI::App* command = golden.add_subcommand("write", "Let the reference write its cases");
  auto arguments = std::make_shared<WriteArguments>();
  command->add_option("--component", arguments->components, "One row of the table (repeatable)")
      ->take_all()
      ->expected(1);
  CLI::Option* one_case =
      command->add_option("--case", arguments->one_case, "Only this case, \"D=16 H=2 ...\"");
  command->add_option("--T", arguments->tokens, "Only a case of T tokens, as the record has them")
      ->check(count_from(1))
      ->excludes(one_case);
  command->add_option("--seed", arguments->seed, "Of the inputs")
      ->capture_default_str()
      ->check(any_seed());
  command->add_option("--out", arguments->folder, "Folder for <component>.h5 (default: golden)");
  command->callback([arguments, &exit_code] { exit_code = write(*arguments); });
}

}  // namespace

void add_golden_command(CLI::App& app, int& exit_code) {
  CLI::App* golden = app.add_subcommand("golden", "Write, check, list and export golden cases");
  golden->require_subcommand(1);
  add_write(*golden, exit_code);

  auto folder = std::make_shared<fs::path>("golden");
  CLI::App* check_command =
      golden->add_subcommand("check", "Recompute every golden and hold it against this program");
  check_command->add_option("DIR", *folder, "Folder, searched with all below it")
      ->capture_default_str();
  check_command->callback([folder, &exit_code] { exit_code = check(*folder); });

  CLI::App* list_command = golden->add_subcommand("list", "One line a case");
  list_command->add_option("DIR", *folder, "Folder, searched with all below it")
      ->capture_default_str();
  list_command->callback([folder, &exit_code] { exit_code = list(*folder); });

  auto from = std::make_shared<fs::path>(), to = std::make_shared<fs::path>();
  CLI::App* export_command = golden->add_subcommand(
      "export-inputs", "The inputs alone, for a program that `compare` will judge");
  export_command->add_option("FILE", *from, "A golden file")->required();
  export_command->add_option("OUT", *to, "The file to write")->required();
  export_command->callback([from, to, &exit_code] { exit_code = export_inputs(*from, *to); });
}

}  // namespace pairedhead
