#pragma once

#include <mutex>

#include "tools/targets/target.h"
#include "tools/verdict/verdict.h"
#include "tools/verify/case_plan.h"

namespace pairedhead {

// One case that was run and judged.
struct CaseResult {
  PlannedCase planned;
  Verdict verdict;
  // Whether a second call with other poison gave the same bits; true where there was none.
  bool repeatable = true;
  Arrays outputs;  // of the first call; empty if the target threw
};

// Runs one component's cases on one target. run() may be called from several threads: the target
// then sees one call at a time.
class CaseRunner {
 public:
  CaseRunner(const Component& component, Target& target) : component_(component), target_(target) {}

  // A target that throws, or that changes an output's shape or dtype, gives a FAILED case. `twice`
  // runs the target a second time on buffers that hold something else, and judges that too.
  // Throws InputError if the parameters are not the component's, DeviceError if the device is gone,
  // TargetError if the target is.
  CaseResult run(const PlannedCase& planned, bool twice);

  const Component& component() const { return component_; }

 private:
  std::optional<std::string> call(const PlannedCase& planned, const Arrays& inputs,
                                  Arrays& outputs);

  const Component& component_;
  Target& target_;
  std::mutex one_at_a_time_;
};

}  // namespace pairedhead
