#include "tools/report/report.h"

#include <fmt/format.h>

#include "tools/report/html_report.h"
#include "tools/report/write_file.h"

namespace pairedhead {

Index Report::cases() const {
  Index sum = 0;
  for (const ComponentResult& component : components) sum += component.cases;
  return sum;
}

Index Report::failed() const {
  Index sum = 0;
  for (const ComponentResult& component : components) sum += component.failed;
  return sum;
}

void check_report_path(const std::filesystem::path& path) {
  const auto extension = path.extension();
  if (extension != ".json" && extension != ".xml" && extension != ".html") {
    throw InputError(fmt::format("--report {}: expected a name that ends in .json, .xml or .html",
                                 path.string()));
  }
  check_folder_of("--report", path);
}

void write_report(const std::filesystem::path& path, const Report& report) {
  write_report(path, report, HtmlExtras{});
}

void write_report(const std::filesystem::path& path, const Report& report,
                  const HtmlExtras& extras) {
  check_report_path(path);
  const auto extension = path.extension();
  write_file(path, extension == ".json"  ? json_report(report)
                   : extension == ".xml" ? junit_report(report)
                                         : html_report(report, extras));
}

}  // namespace pairedhead
