#include "tools/compare/compare_command.h"

#include <fmt/format.h>

#include <memory>

#include "tools/compare/compare.h"

namespace pairedhead {
namespace {

struct Arguments {
  std::string golden;
  std::string yours;
};

void print(const Comparison& comparison) {
  for (const TensorVerdict& tensor : comparison.verdict.tensors) {
    const auto& [ratios, limits] = std::pair(tensor.ratios, tensor.limits);
    fmt::print(
        "{:<24}  {:<20}  {:>8.3g} / {:<4.3g}  {:>8.3g} / {:<4.3g}  {:>8.3g} / {:<4.3g}  {}\n",
        comparison.name, tensor.key, ratios.max, limits.max, ratios.row, limits.row, ratios.rms,
        limits.rms, name_of(tensor.status));
    if (tensor.status == Status::passed) continue;
    fmt::print("  why    {}\n", tensor.reason);
    if (tensor.first) fmt::print("  first  {}\n", describe(tensor, *tensor.first));
    if (tensor.worst) fmt::print("  worst  {}\n", describe(tensor, *tensor.worst));
  }
  for (const std::string& key : comparison.absent) {
    fmt::print("{:<24}  {:<20}  {:>12}  {:>12}  {:>12}  SKIPPED (not given)\n", comparison.name,
               key, "", "", "");
  }
}

int run(const Arguments& arguments) {
  const auto golden = read_golden(arguments.golden);
  const auto yours = read_batch(arguments.yours);
  std::vector<Comparison> comparisons;
  try {
    comparisons = compare(golden, yours);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", arguments.yours, error.what()));
  }
  fmt::print("{:<24}  {:<20}  {:>12}  {:>12}  {:>14}  {}\n", "case", "output", "rho_max", "rho_row",
             "rho_rms", "verdict");
  std::size_t failed = 0;
  for (const Comparison& comparison : comparisons) {
    print(comparison);
    if (!comparison.verdict.holds()) ++failed;
  }
  fmt::print("\n{} of {} cases given: {}\n", comparisons.size(), golden.size(),
             failed == 0 ? "all hold" : fmt::format("{} fail", failed));
  return failed == 0 ? 0 : 1;
}

}  // namespace

void add_compare_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("compare", "Hold a file of outputs against a golden file");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("golden", arguments->golden, "GOLDEN.h5")->required();
  command->add_option("yours", arguments->yours, "YOURS.h5, outputs under the same names")
      ->required();
  command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace pairedhead
