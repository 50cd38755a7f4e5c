#include <fmt/format.h>

#include "tools/report/html_page.h"
#include "tools/report/html_report.h"

namespace pairedhead {

std::string html_kills(const std::vector<KillLine>& kills) {
  Index alive = 0;
  std::string squares = "<div class=\"squares\">";
  std::string rows;
  for (const KillLine& kill : kills) {
    alive += kill.killed ? 0 : 1;
    // Caught at once is the strongest colour.
    const double opacity =
        kill.killed ? std::max(0.35, 1 - 0.08 * static_cast<double>(kill.cases - 1)) : 1;
    const std::string how = kill.killed ? fmt::format("caught by case {}", kill.cases)
                                        : fmt::format("ALIVE after {} cases", kill.cases);
    squares += fmt::format("<i class=\"{}\" style=\"opacity:{:.2f}\" title=\"{}: {} ({})\"></i>",
                           kill.killed ? "killed" : "alive", opacity, html_escaped(kill.name),
                           html_escaped(kill.what), how);
    rows += fmt::format(
        "<tr data-mutant=\"{0}\" data-killed=\"{1}\"><td class=\"mono\">{2}</td><td>{3}</td>"
        "<td class=\"words wide\">{4}</td><td><span class=\"pill {5}\">{6}</span></td></tr>\n",
        html_escaped(kill.name), kill.killed ? "yes" : "no", html_escaped(kill.component),
        html_escaped(kill.what), html_escaped(kill.trap), kill.killed ? "" : "FAILED", how);
  }
  squares += "</div>\n";
  return html_section(
      "kills",
      alive == 0 ? fmt::format("{} planted bugs, all caught", kills.size())
                 : fmt::format("{} of {} planted bugs are alive", alive, kills.size()),
      "Every square is a mistake that somebody could make, switched on in a copy of the reference. "
      "The paler, the more cases it took to notice.",
      squares +
          "<details><summary>what each one is</summary><table><thead><tr><th>row</th><th>mistake"
          "</th><th class=\"wide\">trap</th><th></th></tr></thead><tbody>\n" +
          rows + "</tbody></table></details>\n");
}

}  // namespace pairedhead
