#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// `pairedhead fuzz`: verify with new cases for a given time. What fails is shrunk, saved in the
// corpus and replayed first by the next run. exit_code: 0 all hold, 1 some do not.
void add_fuzz_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
