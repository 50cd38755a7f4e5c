#pragma once

#include <chrono>
#include <string>

#include "reference/tensor.h"

namespace pairedhead {

// One line on standard error that says how far a long run has come and how long it may still take.
// Says nothing when standard error is no terminal.
class Progress {
 public:
  // `total` steps, in the plural `unit`; 0 if the end is a time, `seconds` from now.
  explicit Progress(Index total, double seconds = 0, std::string unit = "cases");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const std::string& what);
  // Steps that turned out not to be needed.
  void skip(Index steps) { done_ += steps; }

 private:
  using Clock = std::chrono::steady_clock;
  const bool shown_;
  const Index total_;
  const double seconds_;
  const std::string unit_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  Index done_ = 0;
};

bool is_terminal(int descriptor);

}  // namespace pairedhead
