#include "tools/mutants/mutants_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "reference/error.h"
#include "reference/tensor.h"
#include "tools/options/whole_number.h"
#include "tools/report/write_file.h"

#ifdef PAIREDHEAD_MUTANTS
#include "reference/mutant.h"
#include "tools/mutants/kill_table.h"
#ifdef PAIREDHEAD_HAS_CUDA
#include "gpu/kernels/mutant.h"
#endif
#endif

namespace pairedhead {
namespace {

struct Arguments {
  std::string target = "reference";
  Index cases = 60;
  std::uint64_t seed = 1;
  std::string json;
  bool markdown = false;
};

#ifdef PAIREDHEAD_MUTANTS

std::vector<PlantedBug> bugs_in_reference() {
  std::vector<PlantedBug> bugs;
  for (const MutantInfo& info : mutant_table()) {
    bugs.push_back({std::string(name_of(info.mutant)), std::string(info.component),
                    std::string(info.trap), std::string(info.what),
                    [mutant = info.mutant](bool on) { activate(on ? mutant : Mutant::none); }});
  }
  return bugs;
}

std::vector<PlantedBug> bugs_in_kernels() {
  std::vector<PlantedBug> bugs;
#ifdef PAIREDHEAD_HAS_CUDA
  for (const gpu::KernelMutantInfo& info : gpu::kernel_mutant_table()) {
    bugs.push_back({std::string(gpu::name_of(info.mutant)), std::string(info.component),
                    std::string(info.trap), std::string(info.what),
                    [mutant = info.mutant](bool on) {
                      gpu::active_kernel_mutant() = on ? mutant : gpu::KernelMutant::none;
                    }});
  }
#endif
  return bugs;
}

void run(const Arguments& arguments, int& exit_code) {
  check_folder_of("--json", arguments.json);
  const bool in_reference = arguments.target == "reference";
  if (!in_reference && arguments.target != "gpu") {
    throw InputError("--target: expected reference or gpu, where bugs are planted, got \"" +
                     arguments.target + "\"");
  }
  const auto target = make_target(in_reference ? "rounded" : "gpu");
  const auto bugs = in_reference ? bugs_in_reference() : bugs_in_kernels();
  const auto kills = kill_table(bugs, *target, {arguments.cases, arguments.seed});

  Index alive = 0;
  for (const Kill& kill : kills) {
    alive += kill.killed ? 0 : 1;
    if (arguments.markdown) continue;
    fmt::print("{:<34} {:<12} {:<17} {}\n", kill.bug.name, kill.bug.trap, kill.bug.component,
               kill.killed ? fmt::format("killed by case {}: {}", kill.cases, kill.why)
                           : fmt::format("ALIVE after {} cases", kill.cases));
  }
  if (arguments.markdown) fmt::print("{}", kill_markdown(kills));
  fmt::print("{} planted bugs, {} killed, {} alive (target {}, seed {})\n", kills.size(),
             static_cast<Index>(kills.size()) - alive, alive, arguments.target, arguments.seed);
  if (!arguments.json.empty()) {
    write_file(arguments.json, kill_json(arguments.target, kills).dump(1) + "\n");
  }
  // A table without bugs has proved nothing.
  exit_code = alive == 0 && !kills.empty() ? 0 : 1;
}

#else

void run(const Arguments& arguments, int&) {
  const std::string sibling = std::filesystem::read_symlink("/proc/self/exe").string() + "-mutants";
  if (!std::filesystem::exists(sibling)) {
    throw InputError(sibling +
                     ": the program with the planted bugs is missing beside this one; "
                     "build the target pairedhead-mutants");
  }
  std::vector<std::string> words = {sibling,    "mutants",
                                    "--target", arguments.target,
                                    "--cases",  std::to_string(arguments.cases),
                                    "--seed",   std::to_string(arguments.seed)};
  if (arguments.markdown) words.emplace_back("--markdown");
  if (!arguments.json.empty()) words.insert(words.end(), {"--json", arguments.json});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(sibling.c_str(), argv.data());
  throw InputError(sibling + ": cannot be started");
}

#endif

}  // namespace

void add_mutants_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "mutants", "Switch on each planted bug and run its row until it is caught");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--target", arguments->target, "reference (default) or gpu");
  command->add_option("--cases", arguments->cases, "fuzzed cases tried for each bug")
      ->check(count_from(1));
  command->add_option("--seed", arguments->seed, "seed of the cases")->check(any_seed());
  command->add_option("--json", arguments->json, "also write the table as JSON");
  command->add_flag("--markdown", arguments->markdown, "print the table as tests/README.md has it");
  command->callback([arguments, &exit_code] { run(*arguments, exit_code); });
}

}  // namespace pairedhead
