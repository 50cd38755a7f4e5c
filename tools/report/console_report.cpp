#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>

#include "tools/report/report.h"

namespace pairedhead {
namespace {

std::string painted(Status status, bool colour) {
  std::string word(name_of(status));
  if (!colour) return word;
  const auto tone = status == Status::passed    ? fmt::terminal_color::green
                    : status == Status::skipped ? fmt::terminal_color::bright_black
                                                : fmt::terminal_color::red;
  return fmt::format(fmt::fg(tone), "{}", word);
}

// "2.31 / 8"
std::string share(const WorstRatio& worst) {
  return worst.limit > 0 ? fmt::format("{:.3g} / {:.3g}", worst.ratio, worst.limit) : "";
}

std::string table_line(const ComponentResult& result, std::size_t width, bool colour) {
  const bool bitwise = result.judgement == Judgement::bitwise && result.status != Status::skipped;
  std::string line =
      fmt::format("{:<{}}  {:>6}  {:>11}  {:>11}  {:>11}  {}", result.name, width, result.cases,
                  bitwise ? "bit by bit" : share(result.max), share(result.row), share(result.rms),
                  painted(result.status, colour));
  if (result.failed > 0) line += fmt::format(" {} of {} cases", result.failed, result.cases);
  if (!result.skipped.empty()) line += fmt::format(" ({})", result.skipped);
  return line + "\n";
}

std::string failure_text(const ComponentResult& result, bool colour) {
  const Failure& failure = *result.failure;
  const CaseResult& smallest = failure.smallest;
  std::string text =
      fmt::format("\n{} {}\n", painted(smallest.verdict.status, colour), result.name);
  const auto line = [&](const char* label, const std::string& words) {
    text += fmt::format("  {:<8}  {}\n", label, words);
  };
  line(failure.tries > 0 ? "smallest" : "case", smallest.planned.parameters.text());
  if (failure.tries > 0) {
    line("found as", fmt::format("{} ({} smaller ones tried)",
                                 failure.found.planned.parameters.text(), failure.tries));
  }
  line("seed", std::to_string(smallest.planned.seed));
  line("why", smallest.verdict.reason);
  if (const TensorVerdict* tensor = smallest.verdict.first_divergent()) {
    if (tensor->first) line("first", describe(*tensor, *tensor->first));
    if (tensor->worst) line("worst", describe(*tensor, *tensor->worst));
  }
  line("repeat", failure.repro);
  return text;
}

}  // namespace

std::string console_report(const Report& report, bool colour) {
  std::size_t width = 9;
  for (const ComponentResult& result : report.components) {
    width = std::max(width, result.name.size());
  }
  std::string text = fmt::format("{:<{}}  {:>6}  {:>11}  {:>11}  {:>11}  {}\n", "component", width,
                                 "cases", "rho_max", "rho_row", "rho_rms", "verdict");
  for (const ComponentResult& result : report.components) text += table_line(result, width, colour);
  for (const ComponentResult& result : report.components) {
    for (const std::string& slack : result.slack) {
      text += fmt::format("slack: {}: {}\n", result.name, slack);
    }
    if (result.unrepeatable > 0) {
      text += fmt::format("note: {}: {} cases gave other bits when run again\n", result.name,
                          result.unrepeatable);
    }
  }
  for (const ComponentResult& result : report.components) {
    if (result.failure) text += failure_text(result, colour);
  }
  text += fmt::format("\n{} cases of target {} in {:.0f} s, seed {}: {}\n", report.cases(),
                      report.target, report.seconds, report.seed,
                      report.failed() == 0 ? "all hold" : fmt::format("{} fail", report.failed()));
  return text;
}

}  // namespace pairedhead
