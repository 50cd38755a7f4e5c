#include "tools/report/training_curve.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace pairedhead {
namespace {

using nlohmann::json;

TrainingCurve::Point point_of(const json& line, const char* loss) {
  TrainingCurve::Point point{line.at("step").get<Index>(), line.at(loss).get<double>(), {}};
  if (const auto floor = line.find("floor"); floor != line.end() && !floor->is_null()) {
    point.floor = floor->get<double>();
  }
  return point;
}

}  // namespace

TrainingCurve read_training_log(const std::filesystem::path& path) {
  std::ifstream stream(path);
  if (!stream) throw InputError(path.string() + ": expected a training log, got no such file");
  TrainingCurve curve;
  std::string text;
  for (Index number = 1; std::getline(stream, text); ++number) {
    if (text.empty()) continue;
    try {
      const json line = json::parse(text);
      if (line.contains("validation_loss")) {
        curve.validation.push_back(point_of(line, "validation_loss"));
      } else {
        curve.training.push_back(point_of(line, "loss"));
      }
    } catch (const json::exception&) {
      if (stream.eof()) break;
      throw InputError(
          fmt::format("{}: line {}: expected an object with a step and a loss, got \"{}\"",
                      path.string(), number, text.substr(0, 60)));
    }
  }
  if (curve.training.empty() && curve.validation.empty()) {
    throw InputError(path.string() + ": expected steps of a training run, got none");
  }
  return curve;
}

}  // namespace pairedhead
