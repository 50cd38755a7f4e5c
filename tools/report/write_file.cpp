#include "tools/report/write_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

#include "reference/error.h"

namespace pairedhead {

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.tmp", getpid());
  std::ofstream stream(temporary, std::ios::binary);
  stream << text;
  stream.close();
  std::error_code error;
  if (stream) std::filesystem::rename(temporary, path, error);
  if (!stream || error) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw InputError(fmt::format("{}: expected a file that can be written", path.string()));
  }
}

}  // namespace pairedhead
