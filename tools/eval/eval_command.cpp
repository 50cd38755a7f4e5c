#include "tools/eval/eval_command.h"

#include <fmt/format.h>

#include <memory>

#include "tools/eval/eval.h"

namespace pairedhead {
namespace {

struct Arguments {
  std::string input;
  std::string output;
  std::string component;
  std::string target = "exact";
  std::string parameters;
};

int run(const Arguments& arguments) {
  const Component& component = component_named(arguments.component);
  const auto target = arguments.target == "exact" ? nullptr : make_target(arguments.target);
  std::vector<BatchCase> answers;
  for (BatchCase given : read_batch(arguments.input)) {
    if (given.parameters.empty()) given.parameters = arguments.parameters;
    try {
      answers.push_back(evaluate(component, given, target.get()));
    } catch (const InputError& error) {
      throw InputError(fmt::format("{}: {}", arguments.input, error.what()));
    }
  }
  write_batch(arguments.output, answers);
  fmt::print("{}: {} cases of {} by target {}\n", arguments.output, answers.size(), component.name,
             arguments.target);
  return 0;
}

}  // namespace

void add_eval_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("eval", "Answer a file of inputs");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("input", arguments->input, "IN.h5, inputs under the component's names")
      ->required();
  command->add_option("output", arguments->output, "OUT.h5")->required();
  command->add_option("--component", arguments->component, "One row of the table")->required();
  command->add_option("--target", arguments->target, "exact, emulated, rounded, gpu or exec:CMD")
      ->capture_default_str();
  command->add_option("--case", arguments->parameters,
                      "Parameters of groups without an attribute parameters, \"D=16 H=2 ...\"");
  command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace pairedhead
