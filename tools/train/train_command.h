#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// pairedhead train: exactly on the CPU, fast on the GPU.
void add_train_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
