#include "tools/report/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace pairedhead {

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

Progress::Progress(Index total, double seconds, std::string unit)
    : shown_(is_terminal(STDERR_FILENO)),
      total_(total),
      seconds_(seconds),
      unit_(std::move(unit)) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::step(const std::string& what) {
  ++done_;
  const auto now = Clock::now();
  if (!shown_ || now - last_ < std::chrono::milliseconds(200)) return;
  last_ = now;
  const double spent = std::chrono::duration<double>(now - start_).count();
  const double left = total_ > 0 ? spent / static_cast<double>(done_) *
                                       static_cast<double>(std::max<Index>(total_ - done_, 0))
                                 : std::max(seconds_ - spent, 0.0);
  const std::string count = total_ > 0 ? fmt::format("{} of {} {}", done_, total_, unit_)
                                       : fmt::format("{} {}", done_, unit_);
  fmt::print(stderr, "\r\033[K{}, {}, about {:.0f} s left", what, count, left);
  std::fflush(stderr);
}

}  // namespace pairedhead
