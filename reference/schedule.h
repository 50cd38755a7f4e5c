#pragma once

#include <array>
#include <vector>

#include "reference/tensor.h"

// What changes from step to step (SPEC §7, §15). Steps count from 0; the last one, scheduled +
// extension, is a validation only. Every comparison is made in integers, so that a boundary falls
// on the same step for any number of steps. All functions throw InputError on a step outside [0,
// scheduled + extension] and on settings that check_schedule refuses.

namespace pairedhead::reference {

struct ScheduleSettings {
  Index scheduled = 1735;  // N
  Index extension = 40;
  Index micro_batches = 8;                                // sequences a step, over all ranks
  std::array<Index, 3> sequence = {16384, 32768, 49152};  // T per forward in phases 1, 2, 3
  std::array<Index, 3> long_window = {3, 7, 11};          // in blocks, phases 1, 2, 3
  Index extension_window = 13;                            // long window from step N, in blocks
  Index final_window = 20;                                // long window of the final validation
  Index window_unit = 128;                                // tokens a block
  Index momentum_warm_up = 300, momentum_cool_down = 50;  // steps
};

// Throws InputError unless every count is positive (the extension may be 0). The two parts of the
// momentum schedule may overlap: the warm-up then goes first (SPEC §7).
void check_schedule(const ScheduleSettings& settings);

// 0, 1 or 2: (3 step) div N, the extension belonging to the last phase.
Index phase(Index step, const ScheduleSettings& settings);

// Tokens per forward and per step (SPEC §7.1). The final validation's own length is the caller's.
Index sequence_length(Index step, const ScheduleSettings& settings);
Index batch_tokens(Index step, const ScheduleSettings& settings);

struct Windows {
  Index short_blocks,
      long_blocks;  // short = long div 2, before the final extension of the long one
  Index short_tokens, long_tokens;
  bool operator==(const Windows&) const = default;
};
// SPEC §7.1, §7.4. The windows of the step, from its beginning on.
Windows window_schedule(Index step, const ScheduleSettings& settings);

// A change of the long window at the beginning of a step, with its YaRN update (SPEC §3.5). The
// final validation's longer window is none.
struct WindowTransition {
  Index step, old_blocks, new_blocks;
  bool operator==(const WindowTransition&) const = default;
};
std::vector<WindowTransition> window_transitions(const ScheduleSettings& settings);

// SPEC §7.2: the factor on both optimizers' base rates.
double learning_rate(Index step, const ScheduleSettings& settings);

// SPEC §7.3: NorMuon's momentum.
double momentum(Index step, const ScheduleSettings& settings);

// SPEC §7.1: the weights of the next one, two or three tokens; 3, 2, then 1 entries.
std::vector<double> mtp_weights(Index step, const ScheduleSettings& settings);

// SPEC §7.5: embed becomes a copy of lm_head after the update of this (odd) step.
Index split_step(const ScheduleSettings& settings);

}  // namespace pairedhead::reference
