#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/tools/run_program.h"

namespace pairedhead::testing {

// What the program says of bad input: one line that begins with its name and holds `words`, and
// this exit code.
inline void expect_sentence(const Ran& ran, const std::string& words, int exit_code = 2) {
  EXPECT_EQ(ran.exit_code, exit_code) << ran.output;
  EXPECT_EQ(std::count(ran.output.begin(), ran.output.end(), '\n'), 1) << ran.output;
  EXPECT_EQ(ran.output.rfind("pairedhead: ", 0), 0u) << ran.output;
  EXPECT_NE(ran.output.find(words), std::string::npos) << ran.output;
}

inline void expect_bad_input(const std::string& arguments, const std::string& words) {
  SCOPED_TRACE(arguments);
  expect_sentence(run_program(arguments), words);
}

}  // namespace pairedhead::testing
