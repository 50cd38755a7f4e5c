#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/report/html_page.h"
#include "tools/report/html_report.h"

namespace pairedhead {
namespace {

// Levels of shading below the limit; the next one is "over it".
constexpr int levels = 12;
constexpr double page_width = 1000;

int level_of(double share) {
  if (!(share <= 1)) return levels;
  return std::min(static_cast<int>(share * levels), levels - 1);
}

// A column of the tensor, drawn from left to right, as runs of equal shade.
std::string map_line(const ErrorMap& map, Index column, double cell) {
  std::string text;
  const Index rows = map.share.dim(0);
  for (Index start = 0; start < rows;) {
    const int level = level_of(map.share(start, column));
    Index end = start + 1;
    while (end < rows && level_of(map.share(end, column)) == level) ++end;
    if (level > 0) {
      text += fmt::format(
          "<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\"{}/>",
          level == levels ? "wrong" : "own", static_cast<double>(start) * cell,
          static_cast<double>(column) * cell, static_cast<double>(end - start) * cell, cell,
          level == levels ? ""
                          : fmt::format(" opacity=\"{:.2f}\"", std::sqrt(level / double(levels))));
    }
    start = end;
  }
  return text;
}

std::string block_words(Index block, const char* what) {
  return block == 1 ? fmt::format("one {}", what) : fmt::format("{} {}s", block, what);
}

}  // namespace

std::string html_error_map(const ErrorMap& map) {
  const Index rows = map.share.dim(0), columns = map.share.dim(1);
  const double cell = std::min(page_width / static_cast<double>(rows), 18.0);
  Index over = 0;
  for (const double share : map.share.values()) over += level_of(share) == levels ? 1 : 0;
  std::string svg = fmt::format(
      "<svg id=\"map\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" role=\"img\" "
      "aria-label=\"errors of {2}\"><style>.wrong{{fill:var(--bad)}}</style>"
      "<rect class=\"blank\" width=\"{0:g}\" height=\"{1:g}\" rx=\"4\"/>",
      static_cast<double>(rows) * cell, static_cast<double>(columns) * cell,
      html_escaped(map.output));
  for (Index column = 0; column < columns; ++column) svg += map_line(map, column, cell);
  svg += "</svg>\n";
  std::string words = fmt::format(
      "<strong>{}</strong>, {} {}, a cell is {} by {}; {} of {} cells are over the limit.",
      html_escaped(map.component), html_escaped(map.output), to_string(map.shape),
      block_words(map.row_block, "row"), block_words(map.column_block, "column"), grouped(over),
      grouped(map.share.size()));
  if (!map.worst.empty()) words += "<br>Worst: " + html_escaped(map.worst);
  return html_section(
      "worst", "The worst case, element by element",
      "Tokens and heads run to the right, channels down. The stronger the colour, the nearer the "
      "error is to what it may be; red is beyond.",
      fmt::format("<figure class=\"map\">{}<figcaption>{}</figcaption></figure>\n"
                  "<pre>{}, seed {}</pre>\n",
                  svg, words, html_escaped(map.planned.parameters.text()), map.planned.seed));
}

}  // namespace pairedhead
