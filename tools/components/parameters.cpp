#include "tools/components/parameters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <string_view>

#include "reference/error.h"

namespace pairedhead {
namespace {

// The whole of `text` as a number, or InputError.
template <class Number>
Number number_of(std::string_view text, const std::string& name, const char* kind) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw InputError(fmt::format("parameter {}: expected {}, got \"{}\"", name, kind, text));
  }
  return value;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

Parameters Parameters::parse(const std::string& text) {
  Parameters parameters;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals + 1 == word.size() ||
        !is_name(std::string_view(word).substr(0, equals))) {
      throw InputError(fmt::format("case: expected NAME=VALUE, got \"{}\"", word));
    }
    const std::string name = word.substr(0, equals);
    if (!parameters.values_.emplace(name, word.substr(equals + 1)).second) {
      throw InputError(fmt::format("case: expected each parameter once, got {} twice", name));
    }
  }
  return parameters;
}

std::string Parameters::text() const {
  std::string text;
  for (const auto& [name, value] : values_) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  }
  return text;
}

std::string Parameters::word(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) {
    throw InputError(fmt::format("case: expected a parameter {}, got \"{}\"", name, text()));
  }
  return found->second;
}

Index Parameters::integer(const std::string& name) const {
  return number_of<Index>(word(name), name, "an integer");
}

std::vector<Index> Parameters::integers(const std::string& name) const {
  const std::string list = word(name);
  std::vector<Index> values;
  for (std::size_t begin = 0; begin <= list.size();) {
    const auto end = std::min(list.find(',', begin), list.size());
    values.push_back(number_of<Index>(std::string_view(list).substr(begin, end - begin), name,
                                      "integers separated by commas"));
    begin = end + 1;
  }
  return values;
}

double Parameters::real(const std::string& name) const {
  const double value = number_of<double>(word(name), name, "a number");
  if (!std::isfinite(value)) {
    throw InputError(
        fmt::format("parameter {}: expected a finite number, got \"{}\"", name, word(name)));
  }
  return value;
}

Parameters& Parameters::set(const std::string& name, Index value) {
  return set(name, std::to_string(value));
}

Parameters& Parameters::set(const std::string& name, const std::vector<Index>& values) {
  return set(name, fmt::format("{}", fmt::join(values, ",")));
}

Parameters& Parameters::set(const std::string& name, const std::string& word) {
  values_[name] = word;
  return *this;
}

}  // namespace pairedhead
