#pragma once

#include "golden/array.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// The emulated form of the row `model`.
void run_emulated_model(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

}  // namespace pairedhead
