#include "tools/selftest/selftest_command.h"

#include <memory>

#include "tools/options/whole_number.h"
#include "tools/selftest/selftest.h"

namespace pairedhead {

void add_selftest_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "selftest", "Train on one GPU and on several, and compare all bits of the result");
  auto options = std::make_shared<SelftestOptions>();
  command->add_option("--ranks", options->ranks, "How many GPUs of this machine: 2, 4 or 8")
      ->required()
      ->check(CLI::IsMember({2, 4, 8}));
  command->add_option("--steps", options->steps, "Of the whole schedule, extension included")
      ->capture_default_str()
      ->check(whole_number(20, 10000));
  command->add_option("--out", options->out, "Folder that is made and keeps both runs")->required();
  command->callback([options, &exit_code] { exit_code = selftest(*options); });
}

}  // namespace pairedhead
