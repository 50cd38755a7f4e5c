#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// pairedhead mutants [--target reference|gpu] [--cases N] [--seed S] [--json FILE] [--markdown]
// Switches on each planted bug in turn and runs its row until the first kill. Exit code 0 if all
// were killed, 1 if one is alive. The production program holds no planted bugs: it starts its
// sibling pairedhead-mutants, which is built from the same sources with them.
void add_mutants_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
