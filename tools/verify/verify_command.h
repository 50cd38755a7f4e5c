#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// `pairedhead verify`: holds a target against the reference. exit_code: 0 all hold, 1 some do not.
void add_verify_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
