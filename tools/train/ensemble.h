#pragma once

#include <vector>

#include "tools/report/training_curve.h"

namespace pairedhead {

// How far a run lies from runs that differ in their roundings alone, which training amplifies
// chaotically. At each step its training loss is studentised by the members' mean and deviation;
// the largest value counts. No distribution is assumed: the limit is twice the largest value that a
// member has against the others.
struct EnsembleVerdict {
  double largest = 0;
  Index step = 0;  // of the largest
  double limit = 0;
  bool holds() const { return largest <= limit; }
};

// Over the steps that all of them have. Throws InputError with fewer than three members.
EnsembleVerdict judge_ensemble(const TrainingCurve& run, const std::vector<TrainingCurve>& members);

}  // namespace pairedhead
