#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// pairedhead selftest: whether this machine's GPUs train together to the bits that one gives.
void add_selftest_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
