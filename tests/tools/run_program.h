#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace pairedhead::testing {

struct Ran {
  int exit_code;
  std::string output;  // standard output and standard error
};

inline Ran run_shell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "\n} 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed: " + command);
  Ran ran{-1, ""};
  std::array<char, 4096> buffer;
  while (const auto bytes = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    ran.output.append(buffer.data(), bytes);
  }
  const int status = pclose(pipe);
  ran.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return ran;
}

// How a shell names the program under test.
inline std::string program() { return std::string("'") + PAIREDHEAD_BINARY + "'"; }

// Runs it with these arguments.
inline Ran run_program(const std::string& arguments) {
  return run_shell(program() + " " + arguments);
}

}  // namespace pairedhead::testing
