#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "tools/golden/golden_check.h"

namespace pairedhead::testing {

inline std::filesystem::path golden_folder() {
  return std::filesystem::path(PAIREDHEAD_SOURCE_DIR) / "golden";
}

// Recomputes every case of a file, whose origin must be the one given, and prints the largest error
// met in units of its tolerance.
inline void expect_agreement(const std::filesystem::path& file, const std::string& origin) {
  const auto cases = read_golden(file);
  ASSERT_FALSE(cases.empty()) << file;
  double worst = 0;
  for (const GoldenCase& golden : cases) {
    SCOPED_TRACE(golden.name + ": " + golden.parameters);
    EXPECT_EQ(golden.origin, origin);
    EXPECT_EQ(golden.component, file.stem().string());
    const GoldenVerdict verdict = check_golden(golden);
    for (const std::string& complaint : verdict.complaints) ADD_FAILURE() << complaint;
    worst = std::max(worst, verdict.worst);
  }
  std::printf("%s: %zu cases, largest error %.3g of its tolerance\n", file.filename().c_str(),
              cases.size(), worst);
}

}  // namespace pairedhead::testing
