#pragma once

#include "tools/components/component.h"

namespace pairedhead {

// Whether every gate's logit is so large that 1 - sig(logit) is zero in double: no gate then has a
// slope, and where all are so there is no gradient. a [T, C], of whose tokens the first `skipped`
// have no gate; w [gates, 12].
bool all_saturated(const Tensor<double>& a, const Tensor<double>& w, Index skipped = 0);

// Whether that may be so for the gradient of the gate "w" by how the inputs are drawn: few tokens
// (T), large logits (fill=sharp).
bool may_be_saturated(const Parameters& parameters, const OutputRow& row);

}  // namespace pairedhead
