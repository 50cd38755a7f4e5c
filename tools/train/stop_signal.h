#pragma once

namespace pairedhead {

// While one of these exists, the first SIGINT or SIGTERM only asks the run to stop, so that it can
// finish its step and save; a second one ends the program as it always does. A file that grows past
// its limit (SIGXFSZ) is an error of the write, not the end of the program.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // "SIGINT" or "SIGTERM" once one has come, else nullptr.
  const char* received() const;
};

}  // namespace pairedhead
