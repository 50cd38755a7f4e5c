#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/report/error_map.h"
#include "tools/report/kill_lines.h"
#include "tools/report/report.h"
#include "tools/report/training_curve.h"

namespace pairedhead {

// What an HTML report shows beside the components, as far as it is there.
struct HtmlExtras {
  std::optional<ErrorMap> error_map;
  std::vector<KillLine> kills;
  std::vector<TrainingCurve> training;  // the run, then the members of its ensemble
};

// One page: components with their ratios as bars against the limits, the worst case with its error
// map, who sees whom, the planted bugs, the loss curve.
std::string html_report(const Report& report, const HtmlExtras& extras);

// As write_report of report.h, and .html with its extras.
void write_report(const std::filesystem::path& path, const Report& report,
                  const HtmlExtras& extras);

// The page of a training run alone. `verdict` and `summary` are text.
std::string html_training_report(const std::vector<TrainingCurve>& training,
                                 const std::string& verdict, const std::string& summary, bool good);

// Its sections, each of them HTML.
std::string html_components(const Report& report);
std::string html_error_map(const ErrorMap& map);
std::string html_visibility();
std::string html_kills(const std::vector<KillLine>& kills);
std::string html_training(const std::vector<TrainingCurve>& training);

}  // namespace pairedhead
