#pragma once

#include <string>
#include <vector>

#include "tools/components/component.h"

namespace pairedhead {

// The rows that --component names, in the order of the table and each once; all of them for none.
// Throws InputError on an unknown name.
std::vector<const Component*> select_components(const std::vector<std::string>& names);

}  // namespace pairedhead
