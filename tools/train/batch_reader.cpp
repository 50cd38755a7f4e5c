#include "tools/train/batch_reader.h"

#include <stdexcept>
#include <utility>

namespace pairedhead {
namespace {

constexpr std::size_t steps_ahead = 2;

}  // namespace

BatchReader::BatchReader(reference::TrainingData data, Index first, Index end,
                         const reference::TrainerSettings& settings)
    : data_(std::move(data)),
      step_(first),
      end_(end),
      settings_(settings),
      thread_([this](const std::stop_token& stop) { read(stop); }) {}

void BatchReader::read(const std::stop_token& stop) {
  try {
    for (; step_ < end_; ++step_) {
      Step next{step_sequences(data_, step_, settings_), data_.position()};
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [&] { return ready_.size() < steps_ahead; });
      if (stop.stop_requested()) return;
      ready_.push_back(std::move(next));
      changed_.notify_all();
    }
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    error_ = std::current_exception();
  }
  const std::scoped_lock lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

BatchReader::Step BatchReader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || finished_; });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(error_);
    throw std::logic_error("BatchReader: asked for a step behind the last");
  }
  Step step = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return step;
}

}  // namespace pairedhead
