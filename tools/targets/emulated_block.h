#pragma once

#include "golden/array.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// The emulated form of the row `block`: a chain of the kernels' emulated forms.
void run_emulated_block(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

}  // namespace pairedhead
