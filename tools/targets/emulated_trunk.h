#pragma once

#include <map>
#include <string>

#include "golden/array.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// The emulated forms of the trunk's rows (embeddings, norm, linear layers, gates, mixes) by
// component name: each runs one case into outputs as a Target does.
using EmulatedRun = void (*)(const Parameters&, const Arrays& inputs, Arrays& outputs);
const std::map<std::string, EmulatedRun>& emulated_trunk_runs();

}  // namespace pairedhead
