#include "reference/mutant.h"

#ifdef PAIREDHEAD_MUTANTS
#include <atomic>
#endif

namespace pairedhead {

std::string_view name_of(Mutant mutant) {
  switch (mutant) {
    case Mutant::none:
      return "none";
#define X(name)      \
  case Mutant::name: \
    return #name;
      PAIREDHEAD_MUTANT_LIST(X)
#undef X
  }
  return "?";
}

#ifdef PAIREDHEAD_MUTANTS
namespace {
// One for the process: OpenMP's workers must see it too.
std::atomic<Mutant> active = Mutant::none;
}  // namespace

Mutant active_mutant() { return active.load(std::memory_order_relaxed); }
void activate(Mutant mutant) { active = mutant; }
#endif

}  // namespace pairedhead
