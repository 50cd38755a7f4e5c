#pragma once

#include "tools/targets/emulated_trunk.h"

namespace pairedhead {

// The emulated forms of head, softcap and loss by component name.
const std::map<std::string, EmulatedRun>& emulated_head_runs();

}  // namespace pairedhead
