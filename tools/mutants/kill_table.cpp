#include "tools/mutants/kill_table.h"

#include <fmt/format.h>

#include <map>

#include "tools/verdict/poison.h"
#include "tools/verdict/verdict.h"
#include "tools/verify/case_plan.h"

namespace pairedhead {
namespace {

struct JudgedCase {
  Parameters parameters;
  std::uint64_t seed;
  Arrays inputs;
  Truth truth;
};

Arrays outputs_of(Target& target, const Component& component, const JudgedCase& example) {
  Arrays outputs = poisoned_outputs(component, example.truth.exact, example.seed);
  target.run(component, example.parameters, example.inputs, outputs);
  return outputs;
}

// Why these outputs do not hold; empty if they do.
std::string fault_of(const Component& component, const JudgedCase& example, const Arrays& outputs) {
  const Truth truth = truth_of_stages(component, example.parameters, example.inputs, example.seed,
                                      example.truth, outputs);
  const Verdict verdict =
      judge(component, example.parameters, truth, example.inputs, outputs, example.seed);
  if (verdict.holds()) return "";
  const TensorVerdict* tensor = verdict.first_divergent();
  if (tensor == nullptr) return verdict.reason;
  if (!tensor->first) return tensor->key + ": " + tensor->reason;
  return tensor->key + ": " + describe(*tensor, *tensor->first);
}

// The cases of one component, made as they are asked for and kept for the next bug. Each holds
// without one: a case that fails anyway would kill whatever is planted.
class CaseList {
 public:
  CaseList(const Component& component, const KillOptions& options)
      : component_(component), plan_(plan_cases(component, options.seed, options.cases)) {}

  Index size() const { return static_cast<Index>(plan_.size()); }

  const JudgedCase& at(Index i, Target& target) {
    while (static_cast<Index>(cases_.size()) <= i) {
      const PlannedCase& planned = plan_[cases_.size()];
      JudgedCase made{planned.parameters, planned.seed, {}, {}};
      made.inputs = component_.inputs(made.parameters, made.seed);
      made.truth = truth_before_stages(component_, made.parameters, made.inputs, made.seed);
      const std::string fault = fault_of(component_, made, outputs_of(target, component_, made));
      if (!fault.empty()) {
        throw InputError(
            fmt::format("{} \"{}\" seed {}: expected a case that holds without a bug, "
                        "got {}",
                        component_.name, made.parameters.text(), made.seed, fault));
      }
      cases_.push_back(std::move(made));
    }
    return cases_[static_cast<std::size_t>(i)];
  }

 private:
  const Component& component_;
  std::vector<PlannedCase> plan_;
  std::vector<JudgedCase> cases_;
};

// Off again whatever the target throws.
class Switch {
 public:
  explicit Switch(const PlantedBug& bug) : bug_(bug) { bug_.activate(true); }
  ~Switch() { bug_.activate(false); }
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

 private:
  const PlantedBug& bug_;
};

// Why the case caught the bug; empty if it did not.
std::string caught(const PlantedBug& bug, Target& target, const Component& component,
                   const JudgedCase& example) {
  Arrays outputs;
  try {
    const Switch on(bug);
    outputs = outputs_of(target, component, example);
  } catch (const std::exception& error) {
    return error.what();
  }
  return fault_of(component, example, outputs);
}

}  // namespace

std::vector<Kill> kill_table(const std::vector<PlantedBug>& bugs, Target& target,
                             const KillOptions& options) {
  std::map<std::string, CaseList> lists;
  std::vector<Kill> kills;
  for (const PlantedBug& bug : bugs) {
    const Component& component = component_named(bug.component);
    CaseList& list = lists.try_emplace(bug.component, component, options).first->second;
    Kill kill;
    kill.bug = bug;
    while (!kill.killed && kill.cases < list.size()) {
      const JudgedCase& example = list.at(kill.cases++, target);
      kill.why = caught(bug, target, component, example);
      kill.killed = !kill.why.empty();
      kill.parameters = example.parameters.text();
      kill.seed = example.seed;
    }
    kills.push_back(std::move(kill));
  }
  return kills;
}

std::string kill_markdown(const std::vector<Kill>& kills) {
  std::string table =
      "| planted bug | trap | what it does | row | killed in case | by | first divergence |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const Kill& kill : kills) {
    table += fmt::format(
        "| {} | {} | {} | {} | {} | {} | {} |\n", kill.bug.name, kill.bug.trap, kill.bug.what,
        kill.bug.component,
        kill.killed ? std::to_string(kill.cases) : fmt::format("ALIVE after {}", kill.cases),
        kill.killed ? kill.parameters : "-", kill.killed ? kill.why : "-");
  }
  return table;
}

nlohmann::json kill_json(const std::string& target, const std::vector<Kill>& kills) {
  nlohmann::json list = nlohmann::json::array();
  Index alive = 0;
  for (const Kill& kill : kills) {
    alive += kill.killed ? 0 : 1;
    list.push_back({{"name", kill.bug.name},
                    {"trap", kill.bug.trap},
                    {"what", kill.bug.what},
                    {"component", kill.bug.component},
                    {"killed", kill.killed},
                    {"cases", kill.cases},
                    {"case", kill.parameters},
                    {"seed", kill.seed},
                    {"why", kill.why}});
  }
  return {{"target", target}, {"alive", alive}, {"mutants", list}};
}

}  // namespace pairedhead
