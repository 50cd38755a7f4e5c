#pragma once

#include <string_view>

// Planted bugs. Each is one trap (SPEC §11) or one of our own, written at the line where it would be
// made, as `if (mutated(Mutant::x))`. In the production build mutated() is constant false and the
// compiler removes the branch; the test-only program pairedhead-mutants is built with
// PAIREDHEAD_MUTANTS and switches one on for a run.

namespace pairedhead {

#define PAIREDHEAD_MUTANT_LIST(X)                                                                  \
  X(pair_neighbouring_heads)                                                                       \
  X(stagger_by_flat_row)

enum class Mutant {
  none,
#define X(name) name,
  PAIREDHEAD_MUTANT_LIST(X)
#undef X
};

std::string_view name_of(Mutant mutant);

#ifdef PAIREDHEAD_MUTANTS
// The mutant switched on in this process.
Mutant active_mutant();
void activate(Mutant mutant);
inline bool mutated(Mutant mutant) { return active_mutant() == mutant; }
#else
constexpr bool mutated(Mutant) { return false; }
#endif

}  // namespace pairedhead
