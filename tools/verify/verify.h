#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/verify/corpus.h"
#include "tools/verify/run_case.h"
#include "tools/verify/shrink.h"

namespace pairedhead {

inline constexpr std::uint64_t default_seed = 1;
inline constexpr Index default_cases = 400;

struct VerifyOptions {
  std::uint64_t seed = default_seed;
  Index cases = default_cases;  // fuzzed, after the component's edges
  Shard shard;
  int threads = 0;  // judging at once; 0: as many as the machine has. Results do not depend on it
  bool shrink = true;
  std::string target;            // its --target word, for repro lines
  std::filesystem::path corpus;  // empty: none
};

// The worst of one ratio over a run, as a share of the limit it was held against (rho_rms has two).
struct WorstRatio {
  double ratio = 0;
  double limit = 0;  // 0 where nothing was measured
  std::string output;
  PlannedCase planned;
};

struct Failure {
  CaseResult found;     // as the plan drew it
  CaseResult smallest;  // after shrinking
  Index tries = 0;      // of shrinking
  std::string repro;    // one line for a shell
};

// What a run over one component found.
struct ComponentResult {
  std::string name;
  Judgement judgement = Judgement::ratio;
  Status status = Status::passed;
  Index cases = 0;
  Index failed = 0;        // FAILED and UNTRUSTED
  Index untrusted = 0;     // of these
  Index unrepeatable = 0;  // a second call gave other bits
  std::string skipped;     // the reason; empty if it ran
  WorstRatio max, row, rms;
  std::vector<std::string> slack;  // limits more than 30 times looser than anything observed
  std::optional<Failure> failure;  // the first
  double seconds = 0;
};

// Called once for every case, in the order of the plan, never at the same time; returns whether to
// go on.
using CaseCallback = std::function<bool(const CaseResult&)>;

// Replays the corpus, then runs the plan. The result does not depend on the number of threads.
// Throws what CaseRunner::run throws.
ComponentResult run_component(const Component& component, Target& target,
                              const VerifyOptions& options, const CaseCallback& on_case = {});

// The same for a plan of the caller's own (one --case, a replay, a mutant's cases).
ComponentResult run_plan(const Component& component, Target& target,
                         const std::vector<PlannedCase>& plan, const VerifyOptions& options,
                         const CaseCallback& on_case = {});

// Counts and worst ratios of two runs over one component together; the first failure stays.
void add_to(ComponentResult& total, const ComponentResult& more);

// pairedhead verify --target T --component C --case "D=16 H=2" --seed S
std::string repro_line(const std::string& target, const std::string& component,
                       const PlannedCase& planned);

}  // namespace pairedhead
