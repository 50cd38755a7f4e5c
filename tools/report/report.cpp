#include "tools/report/report.h"

#include <fmt/format.h>

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
  if (extension != ".json" && extension != ".xml") {
    throw InputError(
        fmt::format("--report {}: expected a name that ends in .json or .xml", path.string()));
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder)) {
    throw InputError(
        fmt::format("--report {}: expected a folder {}, got none", path.string(), folder.string()));
  }
}

void write_report(const std::filesystem::path& path, const Report& report) {
  check_report_path(path);
  write_file(path, path.extension() == ".json" ? json_report(report) : junit_report(report));
}

}  // namespace pairedhead
