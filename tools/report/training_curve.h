#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "reference/tensor.h"

namespace pairedhead {

// The loss of a training run as its log has it: one JSON object a line, {"step", "loss", "floor"}
// or {"step", "validation_loss", "floor"}; losses in nats a token, the floor null or absent where
// the source's entropy is not known. Other keys are not looked at.
struct TrainingCurve {
  struct Point {
    Index step;
    double loss;
    std::optional<double> floor;
  };
  std::vector<Point> training;
  std::vector<Point> validation;
};

// Throws InputError naming the line that is no such object, and on a log without a point. A last
// line that a kill cut short is left out.
TrainingCurve read_training_log(const std::filesystem::path& path);

}  // namespace pairedhead
