#pragma once

#include "golden/golden_file.h"
#include "tools/targets/target.h"

namespace pairedhead {

// The outputs of one case. Its inputs are checked against what the component takes: names, shapes,
// values that the dtype holds exactly. Inputs that follow from the parameters (cu_seqlens, window,
// rotary tables) may be left out; integer ones that are given must agree with them.
// target == nullptr: the exact reference, outputs in fp64.
// Throws InputError on anything else, and if the target fails.
BatchCase evaluate(const Component& component, const BatchCase& given, Target* target);

}  // namespace pairedhead
