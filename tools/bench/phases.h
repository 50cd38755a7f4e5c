#pragma once

#include "reference/trainer.h"

namespace pairedhead {

// For a bench of whole steps: the three phases of the schedule (SPEC §7.1), of `steps` steps each,
// without an extension. Throws InputError on fewer than `least` steps.
reference::TrainerSettings settings_of_phases(const reference::Config& config, Index steps,
                                              Index least);

}  // namespace pairedhead
