#pragma once

#include <cstdlib>
#include <optional>
#include <string>

#include "tests/tools/run_program.h"

namespace pairedhead::testing {

// An interpreter that has NumPy and h5py; $PAIREDHEAD_PYTHON goes first.
inline std::optional<std::string> python() {
  static const std::optional<std::string> found = []() -> std::optional<std::string> {
    const char* chosen = std::getenv("PAIREDHEAD_PYTHON");
    for (const std::string candidate : {chosen ? chosen : "", "python3", "/usr/bin/python3"}) {
      if (candidate.empty()) continue;
      if (run_shell("'" + candidate + "' -c 'import numpy, h5py'").exit_code == 0) return candidate;
    }
    return std::nullopt;
  }();
  return found;
}

}  // namespace pairedhead::testing

#define SKIP_WITHOUT_PYTHON()                                                \
  if (!pairedhead::testing::python()) {                                      \
    GTEST_SKIP() << "no Python with numpy and h5py (set PAIREDHEAD_PYTHON)"; \
  }
