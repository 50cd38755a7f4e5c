#include "golden/rehearsal.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace pairedhead {
namespace {

[[noreturn]] void rehearse(const std::function<void()>& action, int seconds) {
  // A crash here is an answer, not an accident: no dump, no report, no handler of the parent's.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(signal, SIG_DFL);
  const rlimit no_dump = {0, 0};
  setrlimit(RLIMIT_CORE, &no_dump);
  const rlimit limit = {static_cast<rlim_t>(seconds), static_cast<rlim_t>(seconds)};
  setrlimit(RLIMIT_CPU, &limit);
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  try {
    action();
  } catch (...) {
    // The parent will meet the same exception.
  }
  _exit(0);
}

}  // namespace

bool survives(const std::function<void()>& action, int seconds) {
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) rehearse(action, seconds);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "waitpid");
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace pairedhead
