#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// `pairedhead compare GOLDEN.h5 YOURS.h5`: somebody else's outputs against a golden file.
// exit_code: 0 all that was given holds, 1 some does not.
void add_compare_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
