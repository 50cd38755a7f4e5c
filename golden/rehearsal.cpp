#include "golden/rehearsal.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <mutex>
#include <string>
#include <system_error>

namespace pairedhead {
namespace {

using Action = void (*)(const std::filesystem::path&);

[[noreturn]] void rehearse(Action action, const std::filesystem::path& file, int seconds) {
  // A crash here is an answer, not an accident: no dump, no report, no handler of the parent's.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(signal, SIG_DFL);
  const rlimit no_dump = {0, 0};
  setrlimit(RLIMIT_CORE, &no_dump);
  const rlimit limit = {static_cast<rlim_t>(seconds), static_cast<rlim_t>(seconds)};
  setrlimit(RLIMIT_CPU, &limit);
  try {
    action(file);
  } catch (...) {
    // The parent will meet the same exception.
  }
  _exit(0);
}

pid_t wait_for(pid_t child, int& status) {
  pid_t ended;
  while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR) continue;
  return ended;
}

[[noreturn]] void fail(const char* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

void send_all(int socket, const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    // No SIGPIPE where the other side is gone: that is an error like any other.
    const ssize_t sent = send(socket, next, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail("send");
    next += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

// False where the other side is gone.
bool receive_all(int socket, void* data, std::size_t size) {
  char* next = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t received = recv(socket, next, size, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    next += received;
    size -= static_cast<std::size_t>(received);
  }
  return true;
}

// Both sides are one program at one address, so a function's address means the same in both.
struct Request {
  Action action;
  int seconds;
  std::size_t path_length;  // bytes that follow
};

enum class Answer : int { survived, crashed, no_copy };

// What the process that stands aside does until its parent is gone.
[[noreturn]] void serve(int socket) {
  // It must outlive an interrupt that its parent means to finish its work after, and keep nobody
  // waiting for the end of the parent's output.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  const int null = open("/dev/null", O_RDWR);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, standard);
  Request request;
  while (receive_all(socket, &request, sizeof request)) {
    std::string path(request.path_length, '\0');
    if (!receive_all(socket, path.data(), path.size())) break;
    const pid_t child = fork();
    if (child == 0) rehearse(request.action, path, request.seconds);
    int status = 0;
    Answer answer = Answer::no_copy;
    if (child > 0 && wait_for(child, status) == child) {
      answer = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? Answer::survived : Answer::crashed;
    }
    send_all(socket, &answer, sizeof answer);
  }
  _exit(0);
}

class StandBy {
 public:
  StandBy() {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0) fail("socketpair");
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      close(sockets[0]);
      serve(sockets[1]);
    }
    close(sockets[1]);
    socket_ = sockets[0];
  }

  bool survives(Action action, const std::string& path, int seconds) {
    const std::lock_guard lock(mutex_);
    const Request request{action, seconds, path.size()};
    send_all(socket_, &request, sizeof request);
    send_all(socket_, path.data(), path.size());
    Answer answer;
    if (!receive_all(socket_, &answer, sizeof answer) || answer == Answer::no_copy) fail("fork");
    return answer == Answer::survived;
  }

 private:
  std::mutex mutex_;
  int socket_;
};

StandBy& stand_by() {
  // Never destroyed: its process ends when the socket closes, with this one.
  static StandBy& process = *new StandBy;
  return process;
}

}  // namespace

bool survives(Action action, const std::filesystem::path& file, int seconds) {
  return stand_by().survives(action, std::filesystem::absolute(file).string(), seconds);
}

void stand_by_for_rehearsals() { stand_by(); }

}  // namespace pairedhead
