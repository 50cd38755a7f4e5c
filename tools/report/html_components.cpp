#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/report/html_page.h"
#include "tools/report/html_report.h"

namespace pairedhead {
namespace {

// Limits are calibrated so that honest implementations stay a quarter below them.
constexpr double near_limit = 0.75;

std::string bar(const WorstRatio& worst) {
  if (!(worst.limit > 0)) return "<td></td>";
  const double share = worst.ratio / worst.limit;
  const bool over = !(share <= 1);
  const char* tone = over ? "over" : share > near_limit ? "near" : "";
  const double width = over ? 100 : std::max(100 * share, 1.5);
  return fmt::format(
      "<td><div class=\"track\" title=\"{0:.3g} of a limit of {1:.3g}, in {2}\"><i class=\"{3}\" "
      "style=\"width:{4:.1f}%\"></i><b></b></div><div class=\"share\">{0:.3g} / {1:g}</div></td>",
      worst.ratio, worst.limit, html_escaped(worst.output), tone, width);
}

std::string ratio_cells(const ComponentResult& result) {
  if (result.status == Status::skipped) {
    return fmt::format("<td colspan=\"3\" class=\"words\">{}</td>", html_escaped(result.skipped));
  }
  if (result.judgement == Judgement::bitwise) {
    return "<td colspan=\"3\" class=\"words\">bit by bit</td>";
  }
  return bar(result.max) + bar(result.row) + bar(result.rms);
}

std::string component_row(const ComponentResult& result) {
  return fmt::format(
      "<tr data-component=\"{0}\" data-status=\"{1}\"><td class=\"mono\">{0}</td>"
      "<td class=\"number\">{2}</td>{3}<td><span class=\"pill {1}\">{1}</span>{4}</td></tr>\n",
      html_escaped(result.name), name_of(result.status),
      result.status == Status::skipped ? "" : grouped(result.cases), ratio_cells(result),
      result.failed > 0 ? fmt::format("<div class=\"share\">{} of {}</div>", grouped(result.failed),
                                      grouped(result.cases))
                        : "");
}

std::string failure_card(const ComponentResult& result) {
  const Failure& failure = *result.failure;
  const Verdict& verdict = failure.smallest.verdict;
  std::string card = fmt::format(
      "<div class=\"failure\" data-failure=\"{0}\"><h3>{0}</h3><p class=\"lead\">{1}</p>"
      "<div class=\"mono\">{2}, seed {3}</div>",
      html_escaped(result.name), html_escaped(verdict.reason),
      html_escaped(failure.smallest.planned.parameters.text()), failure.smallest.planned.seed);
  if (const TensorVerdict* tensor = verdict.first_divergent(); tensor && tensor->first) {
    card += fmt::format("<div class=\"mono\">{}</div>",
                        html_escaped(describe(*tensor, *tensor->first)));
  }
  return card + fmt::format("<pre>{}</pre></div>\n", html_escaped(failure.repro));
}

}  // namespace

std::string html_components(const Report& report) {
  std::string body =
      "<table><thead><tr><th>component</th><th>cases</th><th>worst element</th><th>worst row</th>"
      "<th>whole tensor</th><th></th></tr></thead><tbody>\n";
  for (const ComponentResult& result : report.components) body += component_row(result);
  body += "</tbody></table>\n";
  for (const ComponentResult& result : report.components) {
    if (result.failure) body += failure_card(result);
  }
  return html_section("components", "Components",
                      "Each bar is the worst error of all cases, in units of what rounding "
                      "explains, as a share of its limit. The tick stands where an honest "
                      "implementation should stay below: three quarters.",
                      body);
}

}  // namespace pairedhead
