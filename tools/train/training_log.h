#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "reference/trainer.h"

namespace pairedhead {

struct StepCost {
  double seconds = 0;  // all that the step waited for
  double tokens_per_second = 0;
  std::optional<double> mfu;                // flops_per_token over the device's peak
  std::optional<std::size_t> memory_bytes;  // that the device holds
};

// One JSON object a line, written through at once so that a kill loses at most the line it cuts:
// {"step", "loss", "floor", "objective", "tokens", "learning_rate", "momentum", "short_window",
// "long_window", "seconds", "tokens_per_second", "mfu", "memory_bytes"} after a step, {"step",
// "validation_loss", "floor", "standard_error", "seconds"} after a validation. Losses in nats a
// token, `loss` that of the next token alone; null what is not known.
// tools/report/training_curve.h reads it.
class TrainingLog {
 public:
  // Starts anew, or keeps what an earlier run wrote of the steps before `first_step`. Throws
  // InputError where the file cannot be written; so do the others.
  TrainingLog(std::filesystem::path path, Index first_step);

  void add(Index step, const reference::StepLosses& losses,
           const reference::ScheduleSettings& schedule, const StepCost& cost);
  void add(Index step, const reference::Validation& validation, double seconds);

 private:
  void write(const std::string& line);

  std::filesystem::path path_;
  std::ofstream stream_;
};

}  // namespace pairedhead
