#pragma once

#include "tools/record/record_shape_checks.h"

namespace pairedhead {

// The rows of the table that take each token, or each element, by itself, at the record's sizes: at
// T = 49152 (and over all elements of a family of parameters) sampled places, and at T = 16384, for
// those that sum over tokens, the whole case with its gradients of weights, scalars and tables.
// Settings are judged side by side, the target sees one call at a time. One check a setting.
std::vector<RecordedCheck> check_token_shapes(Target& target, const ShapeCheckOptions& options);

}  // namespace pairedhead
