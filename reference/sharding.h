#pragma once

#include <string>
#include <vector>

#include "reference/parameters.h"

namespace pairedhead::reference {

// Which rank updates which rows of which parameter, and holds their optimizer state (SPEC §9). The
// gradients are averaged over the ranks before, the rows gathered by all of them after.
struct Owned {
  Index first_row, rows;
  bool operator==(const Owned&) const = default;
};

// By rank; no rows: nothing of this parameter. A matrix of NorMuon belongs to one rank as a whole,
// a parameter of Adam with at least 1024 elements is cut into equal rows, a smaller one is
// replicated and updated by every rank alike (all its rows on each).
// Throws InputError if the rows of a large one do not divide by the ranks.
std::vector<Owned> owners(const std::vector<ParameterInfo>& table, const ParameterInfo& parameter,
                          Index ranks);

}  // namespace pairedhead::reference
