#include <fmt/format.h>

#include "reference/visibility.h"
#include "tools/report/html_page.h"
#include "tools/report/html_report.h"

namespace pairedhead {
namespace {

using reference::AttentionSettings;
using reference::TokenHead;

constexpr Index tokens = 10, heads = 6, window = 4, document = 6;

// The two heads that a picture shows; plain attention shows one.
struct Pair {
  Index early, late;
};

// One square a (query, key): as the reference lists them, not as this page would draw them.
std::string matrix(const AttentionSettings& settings, std::optional<Pair> pair) {
  const Index rows = pair ? 2 : 1;
  const double cell = pair ? 17 : 34, gap = pair ? 2 : 3, left = 26, top = 20;
  const Index side = tokens * rows;
  const auto at = [&](Index i) { return static_cast<double>(i) * cell; };
  std::string svg = fmt::format(
      "<svg data-pairing=\"{}\" width=\"{:g}\" height=\"{:g}\" viewBox=\"0 0 {:g} {:g}\">",
      pair ? "paired" : "plain", left + at(side), top + at(side), left + at(side), top + at(side));
  for (Index t = 0; t < tokens; ++t) {
    const double middle = at(t * rows) + at(rows) / 2;
    svg +=
        fmt::format("<text x=\"{:g}\" y=\"14\" text-anchor=\"middle\">{}</text>", left + middle, t);
    svg +=
        fmt::format("<text x=\"18\" y=\"{:g}\" text-anchor=\"end\">{}</text>", top + middle + 4, t);
  }
  const auto square = [&](const char* tone, Index row, Index column, const std::string& title) {
    return fmt::format(
        "<rect class=\"{}\" x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" rx=\"3\">{}"
        "</rect>",
        tone, left + at(column), top + at(row), cell - gap, cell - gap,
        title.empty() ? "" : "<title>" + title + "</title>");
  };
  for (Index row = 0; row < side; ++row) {
    for (Index column = 0; column < side; ++column) svg += square("blank", row, column, "");
  }
  const auto head_at = [&](Index row) {
    return !pair ? 0 : row % 2 == 0 ? pair->early : pair->late;
  };
  for (Index row = 0; row < side; ++row) {
    const Index head = head_at(row);
    for (const TokenHead& key : reference::visible_keys(row / rows, head, heads, settings)) {
      const Index column = key.token * rows + (pair && key.head == pair->late ? 1 : 0);
      svg += square(key.head == head ? "own" : "partner", row, column,
                    fmt::format("token {}, head {} sees token {}, head {}", row / rows, head,
                                key.token, key.head));
    }
  }
  return svg + "</svg>";
}

}  // namespace

std::string html_visibility() {
  AttentionSettings plain;
  plain.window = window;
  plain.cu_seqlens = {0, document, tokens};
  AttentionSettings paired = plain;
  paired.pairing = Pairing::strided;
  const Pair pair{0, reference::partner_of(0, heads, Pairing::strided)};
  const std::string body = fmt::format(
      "<div class=\"pictures\">\n<figure>{}<figcaption><strong>Plain.</strong> One row a token: a "
      "query sees itself and {} tokens before it, within its document.</figcaption></figure>\n"
      "<figure>{}<figcaption><strong>Paired.</strong> Heads {} and {} take turns, two rows a "
      "token, and share one softmax. The window counts rows, so it reaches half as many tokens "
      "back, and each sees two views of them.</figcaption></figure>\n</div>\n"
      "<div class=\"legend\"><span style=\"--tone:var(--own)\">own head</span>"
      "<span style=\"--tone:var(--partner)\">partner head</span></div>\n",
      matrix(plain, std::nullopt), window, matrix(paired, pair), pair.early, pair.late);
  return html_section(
      "visibility", "Who sees whom",
      fmt::format("Queries down, keys across, by token, for two documents ({} and {} tokens) and a "
                  "window of {}; as the reference's masks have it.",
                  document, tokens - document, window),
      body);
}

}  // namespace pairedhead
