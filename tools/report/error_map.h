#pragma once

#include <optional>
#include <string>

#include "tools/report/report.h"
#include "tools/targets/target.h"

namespace pairedhead {

// Where in one output of a case the errors are: its rows (every axis but the innermost) and
// columns, in blocks where there are more than the map can show.
inline constexpr Index largest_map_rows = 128, largest_map_columns = 48;
struct ErrorMap {
  std::string component;
  PlannedCase planned;
  std::string output;  // OutputRow::key()
  Shape shape;
  Index row_block = 1, column_block = 1;
  Tensor<double> share;  // [rows, columns] worst error in a block over what it may be; inf: no
                         // error was allowed
  std::string worst;     // describe() of the worst element
};

// Runs the case again and looks at one output. nullopt where the target gave none. Throws what
// CaseRunner::run throws, and InputError where the component has no such output.
std::optional<ErrorMap> error_map(const Component& component, Target& target,
                                  const PlannedCase& planned, const std::string& output);

// The case that a reader wants to see first: of the first component that failed its smallest one,
// else the one that came closest to a limit. nullopt where nothing failed and no ratio was
// measured.
struct WorstCase {
  std::string component;
  PlannedCase planned;
  std::string output;
};
std::optional<WorstCase> worst_case(const Report& report);

}  // namespace pairedhead
