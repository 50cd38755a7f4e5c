#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// `pairedhead info`: versions, compiler, fingerprints and the device, one a line.
void add_info_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
