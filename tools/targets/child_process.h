#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

namespace pairedhead {

// A program under a shell that is spoken to in lines: its standard input and output are ours, its
// standard error is where our own goes. It leads a process group of its own, so that ending it ends
// whatever it has started.
class ChildProcess {
 public:
  // Starts `sh -c command`. Throws InputError if that is impossible.
  explicit ChildProcess(const std::string& command);
  // Closes the program's standard input, gives it a moment to leave, then kills its group.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Writes the line and reads the line that answers it, both without their line end. Throws
  // TargetError if the program dies, if `patience` ends, or if the answer is longer than a
  // mebibyte.
  std::string ask(const std::string& line, std::chrono::duration<double> patience);

  // Kills the group.
  void kill();

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  void write_all(const std::string& text, Deadline deadline);
  std::string read_line(Deadline deadline);
  void wait_ready(int descriptor, short events, Deadline deadline);
  [[noreturn]] void fail_closed(const char* stream);

  pid_t pid_ = -1;
  int input_ = -1, output_ = -1;  // ends that are ours: we write input_, read output_
  std::string unread_;            // what came after the last line
};

}  // namespace pairedhead
