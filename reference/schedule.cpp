#include "reference/schedule.h"

#include <string>

#include "reference/mutant.h"

namespace pairedhead::reference {
namespace {

Index last_step(const ScheduleSettings& s) { return s.scheduled + s.extension; }

void require_step(Index step, const ScheduleSettings& settings) {
  check_schedule(settings);
  if (step < 0 || step > last_step(settings)) {
    throw InputError("step: expected 0 to " + std::to_string(last_step(settings)) + ", got " +
                     std::to_string(step));
  }
}

Index divide_up(Index numerator, Index denominator) {
  return (numerator + denominator - 1) / denominator;
}

double ratio(Index numerator, Index denominator) {
  return static_cast<double>(numerator) / static_cast<double>(denominator);
}

}  // namespace

void check_schedule(const ScheduleSettings& s) {
  const auto require = [](const char* what, Index value, Index least) {
    if (value < least) {
      throw InputError(std::string(what) + ": expected at least " + std::to_string(least) +
                       ", got " + std::to_string(value));
    }
  };
  require("scheduled steps", s.scheduled, 1);
  require("extension steps", s.extension, 0);
  require("micro-batches", s.micro_batches, 1);
  require("window unit", s.window_unit, 1);
  for (const Index tokens : s.sequence) require("sequence length", tokens, 1);
  for (const Index blocks : s.long_window) require("long window in blocks", blocks, 2);
  require("long window of the extension in blocks", s.extension_window, 2);
  require("long window of the final validation in blocks", s.final_window, 2);
  require("momentum warm-up steps", s.momentum_warm_up, 1);
  require("momentum cool-down steps", s.momentum_cool_down, 1);
}

Index phase(Index step, const ScheduleSettings& settings) {
  require_step(step, settings);
  return step < settings.scheduled ? 3 * step / settings.scheduled : 2;
}

Index sequence_length(Index step, const ScheduleSettings& settings) {
  return settings.sequence[static_cast<std::size_t>(phase(step, settings))];
}

Index batch_tokens(Index step, const ScheduleSettings& settings) {
  return settings.micro_batches * sequence_length(step, settings);
}

Windows window_schedule(Index step, const ScheduleSettings& settings) {
  require_step(step, settings);
  const Index phase_step =
      mutated(Mutant::window_schedule_phase_late) && step > 0 ? step - 1 : step;
  Index blocks = settings.long_window[static_cast<std::size_t>(phase(phase_step, settings))];
  if (step >= settings.scheduled) blocks = settings.extension_window;
  const Index short_blocks = mutated(Mutant::short_window_is_long) ? blocks : blocks / 2;
  // The final validation lengthens the long window alone.
  if (step == last_step(settings)) blocks = settings.final_window;
  return {short_blocks, blocks, short_blocks * settings.window_unit, blocks * settings.window_unit};
}

std::vector<WindowTransition> window_transitions(const ScheduleSettings& settings) {
  check_schedule(settings);
  const auto& windows = settings.long_window;
  const Index steps[] = {divide_up(settings.scheduled, 3), divide_up(2 * settings.scheduled, 3),
                         settings.scheduled};
  const Index blocks[] = {windows[0], windows[1], windows[2], settings.extension_window};
  std::vector<WindowTransition> transitions;
  for (std::size_t i = 0; i < 3; ++i) {
    if (blocks[i] != blocks[i + 1]) transitions.push_back({steps[i], blocks[i], blocks[i + 1]});
  }
  return transitions;
}

double learning_rate(Index step, const ScheduleSettings& settings) {
  require_step(step, settings);
  const Index n = settings.scheduled;
  if (step > n) return mutated(Mutant::rate_of_extension_is_top) ? 1.73 : 0.1;
  const Index tripled = 3 * step + (mutated(Mutant::rate_changes_with_phase) ? 1 : 0);
  const double top = tripled > 2 * n ? 1.73 : tripled > n ? 1.52 : 1.0;
  if (2 * step < n) return top;
  const double u = ratio(2 * (n - step), n);
  return top * u + (mutated(Mutant::rate_cools_to_zero) ? 0 : 0.1) * (1 - u);
}

double momentum(Index step, const ScheduleSettings& settings) {
  require_step(step, settings);
  const Index total =
      mutated(Mutant::momentum_cools_before_extension) ? settings.scheduled : last_step(settings);
  const Index cool_down_from = total - settings.momentum_cool_down;
  if (step < settings.momentum_warm_up) {
    const Index warmed = mutated(Mutant::momentum_warms_from_step_one) ? step + 1 : step;
    return 0.85 + 0.1 * ratio(warmed, settings.momentum_warm_up);
  }
  if (step > cool_down_from) {
    return 0.95 - 0.1 * ratio(step - cool_down_from, settings.momentum_cool_down);
  }
  return 0.95;
}

std::vector<double> mtp_weights(Index step, const ScheduleSettings& settings) {
  const Index n = settings.scheduled;
  switch (phase(step, settings)) {
    case 0:
      return {1, 0.5, 0.25 * ratio(n - 3 * step, n)};
    case 1:
      return {1, 0.5 * ratio(2 * n - 3 * step, n)};
    default:
      return {1};
  }
}

Index split_step(const ScheduleSettings& settings) {
  check_schedule(settings);
  const Index two_thirds = divide_up(2 * settings.scheduled, 3);
  return two_thirds + (two_thirds % 2 == 0 ? 1 : 0);
}

}  // namespace pairedhead::reference
