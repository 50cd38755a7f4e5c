#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// `pairedhead eval IN.h5 OUT.h5`: our answer to somebody else's inputs.
void add_eval_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
