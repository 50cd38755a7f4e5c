#include "tools/verify/shrink.h"

namespace pairedhead {

Shrunk shrink_failure(CaseRunner& runner, const CaseResult& failing, Index most_tries) {
  Shrunk shrunk{failing, 0};
  if (!runner.component().shrink) return shrunk;
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (const Parameters& candidate :
         runner.component().shrink(shrunk.smallest.planned.parameters)) {
      if (shrunk.tries == most_tries) return shrunk;
      try {
        runner.component().check(candidate);
      } catch (const InputError&) {
        continue;
      }
      ++shrunk.tries;
      CaseResult result = runner.run({candidate, failing.planned.seed}, true);
      if (result.verdict.status != failing.verdict.status) continue;
      shrunk.smallest = std::move(result);
      smaller = true;
      break;
    }
  }
  return shrunk;
}

}  // namespace pairedhead
