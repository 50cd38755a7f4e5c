#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// pairedhead golden write [--component X]... [--T N] [--case "PARAMETERS"] [--seed S] [--out DIR]
// pairedhead golden check [DIR]
// pairedhead golden list [DIR]
// pairedhead golden export-inputs FILE OUT.h5
// Exit code 0 if all hold, 1 if a golden disagrees; a file that is missing, damaged or of another
// schema throws InputError (2).
void add_golden_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
