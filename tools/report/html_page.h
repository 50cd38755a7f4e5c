#pragma once

#include <string>
#include <string_view>

namespace pairedhead {

// The frame of the HTML pages: one self-contained file, no script and nothing from outside, light
// or dark as the reader's system is.

// Text as it may stand between tags and in quoted attributes; bytes that are no UTF-8 become "?".
std::string html_escaped(std::string_view text);

// 1234567 as "1,234,567".
std::string grouped(long long number);

// <section> with an id, a heading and a sentence that says how to read what follows. `body` is
// HTML, the others are text.
std::string html_section(std::string_view id, std::string_view heading, std::string_view lead,
                         const std::string& body);

// The whole page. `title` and `summary` are text, `sections` HTML; `good` colours the verdict.
std::string html_page(std::string_view title, std::string_view verdict, std::string_view summary,
                      bool good, const std::string& sections);

}  // namespace pairedhead
