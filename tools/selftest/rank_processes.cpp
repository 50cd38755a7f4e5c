#include "tools/selftest/rank_processes.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "reference/error.h"

namespace pairedhead {
namespace {

// What torchrun sets; of this process's own environment the rest.
const std::vector<std::string> names = {"RANK",        "WORLD_SIZE",
                                        "LOCAL_RANK",  "MASTER_ADDR",
                                        "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"};

std::vector<std::string> environment_of(int rank, int ranks, std::uint16_t port) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (std::find(names.begin(), names.end(), name) == names.end()) environment.push_back(text);
  }
  environment.push_back("RANK=" + std::to_string(rank));
  environment.push_back("LOCAL_RANK=" + std::to_string(rank));
  environment.push_back("WORLD_SIZE=" + std::to_string(ranks));
  environment.emplace_back("MASTER_ADDR=127.0.0.1");
  environment.push_back("MASTER_PORT=" + std::to_string(port));
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

void check(int error, const std::string& what) {
  if (error != 0) throw InputError(what + ": " + std::strerror(error));
}

// A process, ended with its owner if it was not waited for.
class Process {
 public:
  Process(std::vector<std::string> arguments, std::vector<std::string> environment,
          const std::filesystem::path& output) {
    posix_spawn_file_actions_t actions;
    check(posix_spawn_file_actions_init(&actions), "posix_spawn_file_actions_init");
    int error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                                 O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
    arguments.insert(arguments.begin(), program);
    if (error == 0) {
      error = posix_spawn(&id_, program.c_str(), &actions, nullptr, pointers(arguments).data(),
                          pointers(environment).data());
    }
    posix_spawn_file_actions_destroy(&actions);
    check(error, program);
  }
  ~Process() {
    if (id_ < 0) return;
    kill(id_, SIGKILL);
    wait();
  }
  Process(Process&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Process& operator=(Process&&) = delete;

  int wait() {
    int status = 0;
    while (waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    id_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t id_ = -1;
};

}  // namespace

std::vector<int> run_ranks(int ranks, std::uint16_t port, const std::vector<std::string>& arguments,
                           const std::filesystem::path& out) {
  std::vector<Process> processes;
  for (int rank = 0; rank < ranks; ++rank) {
    processes.emplace_back(arguments, environment_of(rank, ranks, port),
                           out / ("rank_" + std::to_string(rank) + ".txt"));
  }
  std::vector<int> codes;
  for (Process& process : processes) codes.push_back(process.wait());
  return codes;
}

}  // namespace pairedhead
