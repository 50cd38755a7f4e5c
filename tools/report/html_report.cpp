#include "tools/report/html_report.h"

#include <fmt/format.h>

#include "tools/report/html_page.h"

namespace pairedhead {

std::string html_report(const Report& report, const HtmlExtras& extras) {
  Index judged = 0;
  for (const ComponentResult& result : report.components) {
    judged += result.status == Status::skipped ? 0 : 1;
  }
  const bool good = report.failed() == 0 && report.cases() > 0;
  const std::string verdict = report.cases() == 0 ? "Nothing was verified"
                              : good ? fmt::format("All {} cases hold", grouped(report.cases()))
                                     : fmt::format("{} of {} cases fail", grouped(report.failed()),
                                                   grouped(report.cases()));
  const std::string summary = fmt::format("{} components of target {}, seed {}, in {:.0f} s",
                                          judged, report.target, report.seed, report.seconds);
  std::string sections = html_components(report);
  if (extras.error_map) sections += html_error_map(*extras.error_map);
  if (!extras.training.empty()) sections += html_training(extras.training);
  sections += html_visibility();
  if (!extras.kills.empty()) sections += html_kills(extras.kills);
  return html_page("Paired-head attention · verification", verdict, summary, good, sections);
}

}  // namespace pairedhead
