#pragma once

#include <map>
#include <string>

#include "golden/array.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// The emulated forms of the optimizer's rows and of quantise_fp8, by component name: each runs one
// case into outputs as a Target does.
using EmulatedRun = void (*)(const Parameters&, const Arrays& inputs, Arrays& outputs);
const std::map<std::string, EmulatedRun>& emulated_optimizer_runs();

}  // namespace pairedhead
