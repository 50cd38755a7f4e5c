#pragma once

#include "golden/array.h"
#include "gpu/emulated/model.h"
#include "reference/config.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// Sizes and layers; what a batch adds is left to the caller.
gpu::emulated::ModelProblem emulated_problem(const reference::Config& config);

// The emulated form of the row `model`.
void run_emulated_model(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

}  // namespace pairedhead
