#include "tools/train/training_log.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

#include "reference/schedule.h"
#include "tools/report/write_file.h"

namespace pairedhead {
namespace {

using Json = nlohmann::ordered_json;

// Whole lines of the steps before `step`.
std::string kept_lines(const std::filesystem::path& path, Index step) {
  std::ifstream stream(path);
  std::string kept, line;
  while (std::getline(stream, line)) {
    const auto json = Json::parse(line, nullptr, false);
    if (!json.is_object() || json.value("step", step) >= step) break;
    kept += line + "\n";
  }
  return kept;
}

template <class Number>
Json number(const std::optional<Number>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

TrainingLog::TrainingLog(std::filesystem::path path, Index first_step) : path_(std::move(path)) {
  write_file(path_, first_step == 0 ? "" : kept_lines(path_, first_step));
  stream_.open(path_, std::ios::app);
}

void TrainingLog::write(const std::string& line) {
  errno = 0;
  stream_ << line << std::endl;
  if (!stream_) fail_to_write(path_.string(), errno);
}

void TrainingLog::add(Index step, const reference::StepLosses& losses,
                      const reference::ScheduleSettings& schedule, const StepCost& cost) {
  const reference::Windows windows = reference::window_schedule(step, schedule);
  const Json line = {{"step", step},
                     {"loss", losses.next_token},
                     {"floor", number(losses.floor)},
                     {"objective", losses.objective},
                     {"tokens", reference::batch_tokens(step, schedule)},
                     {"learning_rate", reference::learning_rate(step, schedule)},
                     {"momentum", reference::momentum(step, schedule)},
                     {"short_window", windows.short_tokens},
                     {"long_window", windows.long_tokens},
                     {"seconds", cost.seconds},
                     {"tokens_per_second", cost.tokens_per_second},
                     {"mfu", number(cost.mfu)},
                     {"memory_bytes", number(cost.memory_bytes)}};
  write(line.dump());
}

void TrainingLog::add(Index step, const reference::Validation& validation, double seconds) {
  Json line = {
      {"step", step}, {"validation_loss", validation.loss}, {"floor", number(validation.floor)}};
  if (validation.floor) line["standard_error"] = validation.standard_error;
  line["seconds"] = seconds;
  write(line.dump());
}

}  // namespace pairedhead
