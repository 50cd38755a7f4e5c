#pragma once

#include "golden/array.h"
#include "gpu/emulated/model.h"
#include "reference/config.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// Sizes and layers of a configuration as the emulated model takes them; what a batch and a step add
// is left to the caller.
gpu::emulated::ModelProblem emulated_problem(const reference::Config& config);

// The families' tensors of that name after a prefix ("grads/").
gpu::emulated::ModelWeights model_weights(const Arrays& arrays);
gpu::emulated::ModelGradients model_gradients(Arrays& arrays, const std::string& prefix);

// The emulated form of the row `model`.
void run_emulated_model(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

}  // namespace pairedhead
