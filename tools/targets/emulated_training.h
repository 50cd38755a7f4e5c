#pragma once

#include "golden/array.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// The emulated forms of the rows `train_step` and `train_trajectory`.
void run_emulated_train_step(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);
void run_emulated_trajectory(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

}  // namespace pairedhead
