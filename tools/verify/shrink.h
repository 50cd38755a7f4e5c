#pragma once

#include "tools/verify/run_case.h"

namespace pairedhead {

struct Shrunk {
  CaseResult smallest;
  Index tries = 0;
};

// Greedy: the first smaller setting (component.shrink) that fails in the same way, with the same
// seed, takes the place of the failing one, until none does or `most_tries` were run.
Shrunk shrink_failure(CaseRunner& runner, const CaseResult& failing, Index most_tries = 300);

}  // namespace pairedhead
