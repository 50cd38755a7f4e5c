#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "reference/tensor.h"

namespace pairedhead {

// One planted bug of a kill table that `pairedhead mutants --json` wrote.
struct KillLine {
  std::string name, trap, what, component, why;
  bool killed = false;
  Index cases = 0;  // until it was caught, or all that were tried
};

// Throws InputError unless the file is such a table.
std::vector<KillLine> read_kill_lines(const std::filesystem::path& path);

}  // namespace pairedhead
