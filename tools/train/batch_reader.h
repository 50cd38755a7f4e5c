#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "reference/trainer.h"

namespace pairedhead {

// Reads the sequences of the steps to come in a thread of its own, while a device works on the
// present one.
class BatchReader {
 public:
  struct Step {
    std::vector<reference::ScoredSequence> sequences;  // step_sequences
    reference::BatchPosition position;                 // of the text behind them
  };

  // Of the steps `first` to `end` - 1, from where `data` stands.
  BatchReader(reference::TrainingData data, Index first, Index end,
              const reference::TrainerSettings& settings);
  // Does not wait for what has not been asked for.
  ~BatchReader() = default;
  BatchReader(const BatchReader&) = delete;
  BatchReader& operator=(const BatchReader&) = delete;

  // The next step's, once it is there. Throws what reading it threw, as often as it is asked, and
  // std::logic_error behind the last step.
  Step next();

 private:
  void read(const std::stop_token& stop);

  reference::TrainingData data_;
  Index step_;  // the next to be read
  const Index end_;
  const reference::TrainerSettings settings_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Step> ready_;
  std::exception_ptr error_;
  bool finished_ = false;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace pairedhead
