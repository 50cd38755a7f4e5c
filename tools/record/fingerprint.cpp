#include "tools/record/fingerprint.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <set>

#include "reference/error.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path.string() + ": cannot be opened for reading");
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

}  // namespace

std::string hash_of(const void* data, std::size_t bytes) {
  return fmt::format("{:016x}", XXH64(data, bytes, 0));
}

std::string stripped_source(const std::string& text) {
  std::string out;
  bool space = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.compare(i, 2, "/*") == 0) {
      const std::size_t end = text.find("*/", i + 2);
      i = end == std::string::npos ? text.size() : end + 2;
      space = true;
    } else if (std::isspace(static_cast<unsigned char>(c))) {
      space = true;
      ++i;
    } else {
      // Between two words the space has a meaning, elsewhere none.
      if (space && !out.empty() && is_word(out.back()) && is_word(c)) out += ' ';
      space = false;
      out += c;
      ++i;
      if (c != '"') continue;
      while (i < text.size()) {
        out += text[i];
        if (text[i] == '\\' && i + 1 < text.size()) {
          out += text[++i];
        } else if (text[i] == '"') {
          break;
        }
        ++i;
      }
      ++i;
    }
  }
  return out;
}

std::map<std::string, std::string> source_fingerprint(const fs::path& root) {
  if (!fs::is_directory(root / "gpu")) {
    throw InputError((root / "gpu").string() +
                     ": expected the project's gpu folder (run from the project, or name it with "
                     "--source-dir)");
  }
  static const std::set<std::string> source_extensions = {".h", ".cpp", ".cu", ".cuh"};
  std::map<std::string, std::string> fingerprint;
  for (const char* folder : {"gpu", "reference", "golden"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      const bool source = folder != std::string("golden") && source_extensions.count(extension);
      const bool golden = folder == std::string("golden") && extension == ".h5";
      if (!entry.is_regular_file() || (!source && !golden)) continue;
      std::string content = content_of(entry.path());
      if (source) content = stripped_source(content);
      fingerprint[fs::relative(entry.path(), root).generic_string()] =
          hash_of(content.data(), content.size());
    }
  }
  return fingerprint;
}

std::string combined(const std::map<std::string, std::string>& fingerprint) {
  std::string all;
  for (const auto& [file, hash] : fingerprint) all += file + " " + hash + "\n";
  return hash_of(all.data(), all.size());
}

}  // namespace pairedhead
