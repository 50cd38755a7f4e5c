#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "tools/report/report.h"

namespace pairedhead {
namespace {

// XML 1.0 has no way to write most control characters.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = '?';
  }
  return text;
}

void set(pugi::xml_node node, const char* name, const std::string& value) {
  node.append_attribute(name).set_value(printable(value).c_str());
}

std::string failure_text(const Failure& failure) {
  std::string text = failure.smallest.verdict.reason + "\n";
  if (const TensorVerdict* tensor = failure.smallest.verdict.first_divergent()) {
    if (tensor->first) text += "first: " + describe(*tensor, *tensor->first) + "\n";
    if (tensor->worst) text += "worst: " + describe(*tensor, *tensor->worst) + "\n";
  }
  return text + failure.repro + "\n";
}

void add_testcase(pugi::xml_node suite, const std::string& target, const ComponentResult& result) {
  pugi::xml_node testcase = suite.append_child("testcase");
  set(testcase, "classname", "pairedhead." + target);
  set(testcase, "name", result.name);
  set(testcase, "time", fmt::format("{:.3f}", result.seconds));
  if (result.status == Status::skipped) {
    set(testcase.append_child("skipped"), "message", result.skipped);
  }
  if (result.failure) {
    pugi::xml_node failure = testcase.append_child("failure");
    set(failure, "type", std::string(name_of(result.status)));
    set(failure, "message",
        fmt::format("{} of {} cases failed; smallest: {} seed {}", result.failed, result.cases,
                    result.failure->smallest.planned.parameters.text(),
                    result.failure->smallest.planned.seed));
    failure.text().set(printable(failure_text(*result.failure)).c_str());
  }
}

}  // namespace

std::string junit_report(const Report& report) {
  int failures = 0, skipped = 0;
  for (const ComponentResult& result : report.components) {
    if (result.failure) ++failures;
    if (result.status == Status::skipped) ++skipped;
  }
  pugi::xml_document document;
  pugi::xml_node suite = document.append_child("testsuites").append_child("testsuite");
  set(suite, "name", "pairedhead verify --target " + report.target);
  set(suite, "tests", std::to_string(report.components.size()));
  set(suite, "failures", std::to_string(failures));
  set(suite, "errors", "0");
  set(suite, "skipped", std::to_string(skipped));
  set(suite, "time", fmt::format("{:.3f}", report.seconds));
  pugi::xml_node seed = suite.append_child("properties").append_child("property");
  set(seed, "name", "seed");
  set(seed, "value", std::to_string(report.seed));
  for (const ComponentResult& result : report.components) {
    add_testcase(suite, report.target, result);
  }
  std::ostringstream text;
  document.save(text, "  ");
  return text.str();
}

}  // namespace pairedhead
