#include "tools/verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "tools/verify/in_order.h"

namespace pairedhead {
namespace {

constexpr double slack_factor = 30;
// Before that many cases the worst ratio says little about what an implementation can reach.
constexpr Index cases_for_slack = 50;

// Every so many cases the target is called twice.
constexpr std::size_t twice_every = 4;

void note_ratio(WorstRatio& worst, double ratio, double limit, const std::string& output,
                const PlannedCase& planned) {
  if (worst.limit > 0 && ratio / limit <= worst.ratio / worst.limit) return;
  worst = {ratio, limit, output, planned};
}

void note(ComponentResult& result, const CaseResult& outcome) {
  ++result.cases;
  if (!outcome.repeatable) ++result.unrepeatable;
  if (!outcome.verdict.holds()) {
    ++result.failed;
    if (outcome.verdict.status == Status::untrusted) ++result.untrusted;
    if (result.status != Status::failed) result.status = outcome.verdict.status;
  }
  if (result.judgement == Judgement::bitwise) return;
  for (const TensorVerdict& tensor : outcome.verdict.tensors) {
    const auto& [ratios, limits] = std::pair(tensor.ratios, tensor.limits);
    note_ratio(result.max, ratios.max, limits.max, tensor.key, outcome.planned);
    note_ratio(result.row, ratios.row, limits.row, tensor.key, outcome.planned);
    note_ratio(result.rms, ratios.rms, limits.rms, tensor.key, outcome.planned);
  }
}

void find_slack(ComponentResult& result) {
  if (result.judgement == Judgement::bitwise || result.cases < cases_for_slack) return;
  const auto look = [&](const char* name, const WorstRatio& worst) {
    if (worst.limit > slack_factor * worst.ratio) {
      result.slack.push_back(
          fmt::format("{} reached {:.2g} of a limit of {:.2g}", name, worst.ratio, worst.limit));
    }
  };
  look("rho_max", result.max);
  look("rho_row", result.row);
  look("rho_rms", result.rms);
}

// In single quotes where a shell would otherwise not take it as one word.
std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("_-./:=,").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string repro_line(const std::string& target, const std::string& component,
                       const PlannedCase& planned) {
  return fmt::format("pairedhead verify --target {} --component {} --case \"{}\" --seed {}",
                     shell_word(target), component, planned.parameters.text(), planned.seed);
}

void add_to(ComponentResult& total, const ComponentResult& more) {
  total.cases += more.cases;
  total.failed += more.failed;
  total.untrusted += more.untrusted;
  total.unrepeatable += more.unrepeatable;
  total.seconds += more.seconds;
  if (total.status == Status::passed) total.status = more.status;
  if (!total.failure) total.failure = more.failure;
  const auto add_ratio = [](WorstRatio& worst, const WorstRatio& other) {
    if (other.limit > 0) {
      note_ratio(worst, other.ratio, other.limit, other.output, other.planned);
    }
  };
  add_ratio(total.max, more.max);
  add_ratio(total.row, more.row);
  add_ratio(total.rms, more.rms);
  total.slack.clear();
  find_slack(total);
}

ComponentResult run_plan(const Component& component, Target& target,
                         const std::vector<PlannedCase>& plan, const VerifyOptions& options,
                         const CaseCallback& on_case) {
  const auto start = std::chrono::steady_clock::now();
  ComponentResult result;
  result.name = component.name;
  result.judgement = component.judgement;
  if (const auto reason = target.skips(component)) {
    result.status = Status::skipped;
    result.skipped = *reason;
    return result;
  }

  CaseRunner runner(component, target);
  std::optional<CaseResult> first_failure;
  const auto run = [&](std::size_t n) {
    return runner.run(plan[n], plan.size() == 1 || n % twice_every == 0);
  };
  const auto take = [&](std::size_t, const CaseResult& outcome) {
    note(result, outcome);
    if (!outcome.verdict.holds() && !first_failure) first_failure = outcome;
    return !on_case || on_case(outcome);
  };
  in_order<CaseResult>(plan.size(), options.threads, run, take);

  if (first_failure) {
    Shrunk shrunk{*first_failure, 0};
    if (options.shrink) shrunk = shrink_failure(runner, *first_failure);
    const PlannedCase& smallest = shrunk.smallest.planned;
    result.failure = Failure{std::move(*first_failure), shrunk.smallest, shrunk.tries,
                             repro_line(options.target.empty() ? target.name() : options.target,
                                        component.name, smallest)};
    if (!options.corpus.empty()) save_to_corpus(options.corpus, {component.name, smallest});
  }
  find_slack(result);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

ComponentResult run_component(const Component& component, Target& target,
                              const VerifyOptions& options, const CaseCallback& on_case) {
  std::vector<PlannedCase> plan;
  if (!options.corpus.empty()) {
    for (CorpusCase& saved : read_corpus(options.corpus)) {
      if (saved.component == component.name) plan.push_back(std::move(saved.planned));
    }
  }
  const auto drawn = plan_cases(component, options.seed, options.cases, options.shard);
  plan.insert(plan.end(), drawn.begin(), drawn.end());
  return run_plan(component, target, plan, options, on_case);
}

}  // namespace pairedhead
