#include "tools/targets/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "tools/targets/target.h"

namespace pairedhead {
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 20;

// Writing to a program that has gone raises SIGPIPE, which would end ours. While this lives the
// signal is held back from this thread, and a pending one is taken away at the end.
class SigpipeHeld {
 public:
  SigpipeHeld() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~SigpipeHeld() {
    const timespec at_once = {0, 0};
    while (sigismember(&before_, SIGPIPE) == 0 && sigtimedwait(&pipe_, nullptr, &at_once) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeHeld(const SigpipeHeld&) = delete;
  SigpipeHeld& operator=(const SigpipeHeld&) = delete;

 private:
  sigset_t pipe_, before_;
};

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
  }
  return fmt::format("left with exit code {}", WEXITSTATUS(status));
}

// Starts the shell with the two descriptors as its standard input and output; 0 or an errno.
int spawn_shell(const std::string& command, int input, int output, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::string shell = "sh", option = "-c", text = command;
  char* const arguments[] = {shell.data(), option.data(), text.data(), nullptr};
  const int error = posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

ChildProcess::ChildProcess(const std::string& command) {
  std::array<int, 2> to_child{}, from_child{};
  if (pipe2(to_child.data(), O_CLOEXEC) != 0) {
    throw InputError(fmt::format("exec: no pipe could be made: {}", std::strerror(errno)));
  }
  if (pipe2(from_child.data(), O_CLOEXEC) != 0) {
    const int error = errno;
    close(to_child[0]);
    close(to_child[1]);
    throw InputError(fmt::format("exec: no pipe could be made: {}", std::strerror(error)));
  }
  const int error = spawn_shell(command, to_child[0], from_child[1], pid_);
  close(to_child[0]);
  close(from_child[1]);
  input_ = to_child[1];
  output_ = from_child[0];
  fcntl(input_, F_SETFL, O_NONBLOCK);
  if (error != 0) {
    close(input_);
    close(output_);
    throw InputError(fmt::format("exec: sh could not be started: {}", std::strerror(error)));
  }
}

ChildProcess::~ChildProcess() {
  close(input_);
  for (int i = 0; pid_ > 0 && i < 100; ++i) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0) {
      ::kill(-pid_, SIGKILL);  // whatever the shell has left behind
      pid_ = -1;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  kill();
  close(output_);
}

void ChildProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string ChildProcess::ask(const std::string& line, std::chrono::duration<double> patience) {
  if (pid_ <= 0) throw TargetError("the program is gone");
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::nanoseconds>(patience);
  try {
    write_all(line + "\n", deadline);
    return read_line(deadline);
  } catch (const TargetError&) {
    kill();
    throw;
  }
}

void ChildProcess::write_all(const std::string& text, Deadline deadline) {
  const SigpipeHeld held;
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = write(input_, text.data() + done, text.size() - done);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (errno == EPIPE) {
      fail_closed("input");
    } else if (errno == EAGAIN) {
      wait_ready(input_, POLLOUT, deadline);
    } else if (errno != EINTR) {
      throw TargetError(fmt::format("the program cannot be written to: {}", std::strerror(errno)));
    }
  }
}

std::string ChildProcess::read_line(Deadline deadline) {
  for (;;) {
    const auto end = unread_.find('\n');
    if (end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    if (unread_.size() > longest_line) {
      throw TargetError("the program's answer is no line: a mebibyte came without a line end");
    }
    wait_ready(output_, POLLIN, deadline);
    std::array<char, 4096> block{};
    const ssize_t got = read(output_, block.data(), block.size());
    if (got > 0) {
      unread_.append(block.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      fail_closed("output");
    } else if (errno != EINTR) {
      throw TargetError(fmt::format("the program cannot be read: {}", std::strerror(errno)));
    }
  }
}

void ChildProcess::wait_ready(int descriptor, short events, Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  pollfd waiting = {descriptor, events, 0};
  const auto patience = std::clamp<std::int64_t>(left.count() + 1, 0, 1 << 30);
  const int ready = poll(&waiting, 1, static_cast<int>(patience));
  if (ready == 0) throw TargetError("the program did not answer in time");
  if (ready < 0 && errno != EINTR) {
    throw TargetError(fmt::format("the program cannot be waited for: {}", std::strerror(errno)));
  }
}

void ChildProcess::fail_closed(const char* stream) {
  // It has closed its end; give the shell a moment to say how it ended.
  for (int i = 0; i < 100; ++i) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      ::kill(-pid_, SIGKILL);
      pid_ = -1;
      throw TargetError(fmt::format("the program {}", how_it_ended(status)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw TargetError(fmt::format("the program closed its standard {}", stream));
}

}  // namespace pairedhead
