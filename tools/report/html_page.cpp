#include "tools/report/html_page.h"

#include <fmt/format.h>

namespace pairedhead {
namespace {

// Teal is a head's own, amber its partner's; red is only ever a failure.
constexpr std::string_view style = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #17202a; --muted: #667382; --line: #e2e6eb;
  --track: #eceff3; --own: #0f8b8d; --own-soft: #cfe9e8; --partner: #d98324;
  --partner-soft: #f7e3c8; --bad: #c8323c; --bad-soft: #fadfe0; --floor: #6f5bb5;
  --floor-soft: #ece8f8; --shadow: 0 1px 2px #1a253014, 0 8px 24px #1a25300d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1318; --card: #161d24; --ink: #e6ebf0; --muted: #8c9aa8; --line: #26303a;
    --track: #212a33; --own: #3fb9b3; --own-soft: #17393c; --partner: #eba350;
    --partner-soft: #43311a; --bad: #f2646c; --bad-soft: #472125; --floor: #a896ea;
    --floor-soft: #2a2542; --shadow: 0 1px 2px #0006;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
header { display: flex; align-items: center; gap: 22px; margin-bottom: 30px; }
header .mark { flex: none; }
h1 { font-size: 30px; line-height: 1.15; margin: 0; letter-spacing: -0.02em; font-weight: 650; }
header p { margin: 4px 0 0; color: var(--muted); }
.kicker { text-transform: uppercase; letter-spacing: .1em; font-size: 12px; font-weight: 600;
  color: var(--own); }
.bad .kicker, .bad h1 { color: var(--bad); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  box-shadow: var(--shadow); padding: 22px 26px 26px; margin-top: 20px; }
h2 { font-size: 18px; margin: 0; letter-spacing: -0.01em; }
.lead { color: var(--muted); margin: 2px 0 18px; max-width: 78ch; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 13px; }
pre { background: var(--track); border-radius: 8px; padding: 10px 12px; margin: 10px 0 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; color: var(--muted); font-size: 12.5px; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
td.number { text-align: right; }
td.words { color: var(--muted); font-size: 13px; }
.track { position: relative; height: 6px; border-radius: 3px; background: var(--track);
  min-width: 90px; }
.track i { position: absolute; inset: 0 auto 0 0; border-radius: 3px; background: var(--own); }
.track i.near { background: var(--partner); }
.track i.over { background: var(--bad); }
.track b { position: absolute; left: 75%; top: -2px; bottom: -2px; width: 1px;
  background: var(--muted); opacity: .45; }
.share { color: var(--muted); font-size: 12px; margin-top: 2px; white-space: nowrap; }
.pill { display: inline-block; border-radius: 99px; padding: 1px 10px; font-size: 12px;
  font-weight: 600; background: var(--own-soft); color: var(--own); white-space: nowrap; }
.pill.FAILED, .pill.UNTRUSTED { background: var(--bad-soft); color: var(--bad); }
.pill.SKIPPED { background: var(--track); color: var(--muted); }
.pictures { display: flex; flex-wrap: wrap; gap: 30px; align-items: flex-start; }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--muted); font-size: 13px; margin-top: 8px; max-width: 46ch; }
.map figcaption { max-width: none; }
figcaption strong { color: var(--ink); font-weight: 600; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--muted); }
.own { fill: var(--own); } .partner { fill: var(--partner); } .blank { fill: var(--track); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--muted); font-size: 13px;
  margin-top: 12px; }
.legend span::before { content: ""; display: inline-block; width: 10px; height: 10px;
  border-radius: 3px; margin-right: 7px; background: var(--tone); }
.squares { display: grid; grid-template-columns: repeat(auto-fill, minmax(22px, 1fr)); gap: 4px; }
.squares i { aspect-ratio: 1; border-radius: 5px; background: var(--own); }
.squares i.alive { background: var(--bad); }
details { margin-top: 16px; } summary { cursor: pointer; color: var(--muted); }
.failure { border-left: 3px solid var(--bad); padding-left: 16px; margin-top: 22px; }
.failure h3 { margin: 0; font-size: 15px; }
footer { color: var(--muted); font-size: 13px; margin-top: 26px; }
@media (max-width: 720px) { main { padding: 20px 12px; } section { padding: 16px; }
  .wide { display: none; } }
)css";

// Two interleaved columns of three: a pair of heads as flat rows.
constexpr std::string_view mark =
    R"svg(<svg class="mark" width="54" height="54" viewBox="0 0 54 54" aria-hidden="true">
<g class="own"><rect x="3" y="4" width="30" height="6" rx="3"/><rect x="3" y="22" width="30" height="6" rx="3"/><rect x="3" y="40" width="30" height="6" rx="3"/></g>
<g class="partner"><rect x="21" y="13" width="30" height="6" rx="3"/><rect x="21" y="31" width="30" height="6" rx="3"/></g></svg>
)svg";

// Length of the UTF-8 sequence that starts `text`, 0 if none does.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xc2 && first < 0xe0 ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string escaped;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')) {
      escaped += '?';
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else if (c == '"') {
      escaped += "&quot;";
    } else {
      escaped += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return escaped;
}

std::string grouped(long long number) {
  std::string digits = std::to_string(number);
  const std::size_t start = number < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > start + 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string html_section(std::string_view id, std::string_view heading, std::string_view lead,
                         const std::string& body) {
  return fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"lead\">{}</p>\n{}</section>\n",
                     html_escaped(id), html_escaped(heading), html_escaped(lead), body);
}

std::string html_page(std::string_view title, std::string_view verdict, std::string_view summary,
                      bool good, const std::string& sections) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  page += fmt::format("<title>{}: {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
                      html_escaped(title), html_escaped(verdict), style);
  page += fmt::format(
      "<header class=\"{}\">{}<div><div class=\"kicker\">{}</div><h1 id=\"verdict\">{}</h1>"
      "<p>{}</p></div></header>\n",
      good ? "good" : "bad", mark, html_escaped(title), html_escaped(verdict),
      html_escaped(summary));
  page += sections;
  page += fmt::format("<footer>pairedhead {}</footer>\n</main>\n</body>\n</html>\n",
                      PAIREDHEAD_VERSION);
  return page;
}

}  // namespace pairedhead
