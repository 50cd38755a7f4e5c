#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/verify/verify.h"

namespace pairedhead {

// What one run of verify or fuzz found, for readers and for machines.
struct Report {
  std::string target;
  std::uint64_t seed = 0;
  std::vector<ComponentResult> components;
  double seconds = 0;

  Index cases() const;
  Index failed() const;  // cases, FAILED and UNTRUSTED
};

// A table of components with their worst ratios against the limits, then every failure with its
// smallest case and the line that repeats it. `colour`: with terminal colours.
std::string console_report(const Report& report, bool colour);

// {"target", "seed", "seconds", "cases", "failed",
//  "components": [{"name", "judgement", "status", "cases", "failed", "untrusted", "unrepeatable",
//    "worst_rho_max", "worst_rho_row", "worst_rho_rms", "limit_rho_max", ..., "worst_case",
//    "skipped", "slack", "seconds", "failure"}]}
// "skipped" is the reason or null; "failure" null or {"case", "seed", "found_case", "shrink_tries",
// "status", "reason", "first", "worst", "repro"}. A ratio is null where none was measured (bitwise
// rows) or where it is infinite.
std::string json_report(const Report& report);

// JUnit: one testsuite for the target, one testcase a component.
std::string junit_report(const Report& report);

// Throws InputError unless the name ends in .json, .xml or .html and its folder exists: asked
// before the run, so that no work is lost.
void check_report_path(const std::filesystem::path& path);

// In the format that the name asks for, whole or not at all. Throws InputError.
void write_report(const std::filesystem::path& path, const Report& report);

}  // namespace pairedhead
