#include "tools/bench/phases.h"

namespace pairedhead {

reference::TrainerSettings settings_of_phases(const reference::Config& config, Index steps,
                                              Index least) {
  if (steps < least) {
    throw InputError("--steps: expected at least " + std::to_string(least) + " a phase, got " +
                     std::to_string(steps));
  }
  reference::TrainerSettings settings;
  settings.config = config;
  settings.config.schedule.scheduled = 3 * steps;
  settings.config.schedule.extension = 0;
  return settings;
}

}  // namespace pairedhead
