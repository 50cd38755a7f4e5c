#include "tools/report/write_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <system_error>

#include "reference/error.h"

namespace pairedhead {

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.tmp", getpid());
  errno = 0;
  std::ofstream stream(temporary, std::ios::binary);
  stream << text;
  stream.close();
  const int reason = errno;
  std::error_code error;
  if (stream) {
    std::filesystem::rename(temporary, path, error);
  } else {
    error.assign(reason, std::generic_category());
  }
  if (!stream || error) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    fail_to_write(path.string(), error.value());
  }
}

void check_folder_of(const char* option, const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (std::filesystem::is_directory(folder)) return;
  throw InputError(
      fmt::format("{} {}: expected a folder {}, got none", option, path.string(), folder.string()));
}

void fail_to_write(const std::string& what, int reason) {
  throw InputError(fmt::format("{}: expected a place that can be written, got {}", what,
                               reason != 0 ? std::strerror(reason) : "none"));
}

void flush_standard_output() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fail_to_write("standard output", errno);
  }
}

}  // namespace pairedhead
