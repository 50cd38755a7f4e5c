#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// pairedhead train: the slow trainer.
void add_train_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
