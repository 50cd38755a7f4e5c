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

// Runs the program under test with these arguments, as a shell would.
inline Ran run_program(const std::string& arguments) {
  const std::string command = std::string("'") + PAIREDHEAD_BINARY + "' " + arguments + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
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

}  // namespace pairedhead::testing
