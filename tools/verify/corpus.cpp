#include "tools/verify/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "tools/report/write_file.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

CorpusCase parse_line(const std::string& line) {
  std::istringstream words(line);
  std::string component, seed, parameters;
  words >> component >> seed;
  std::getline(words, parameters);
  CorpusCase parsed{component, {Parameters::parse(parameters), 0}};
  const char* const end = seed.data() + seed.size();
  const auto [stop, error] = std::from_chars(seed.data(), end, parsed.planned.seed);
  if (seed.empty() || error != std::errc{} || stop != end) {
    throw InputError(fmt::format("expected COMPONENT SEED NAME=VALUE ..., got \"{}\"", line));
  }
  return parsed;
}

}  // namespace

std::vector<CorpusCase> read_corpus(const fs::path& folder) {
  if (!fs::exists(folder)) return {};
  if (!fs::is_directory(folder)) {
    throw InputError(fmt::format("corpus {}: expected a folder", folder.string()));
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".case") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<CorpusCase> cases;
  for (const fs::path& file : files) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    try {
      cases.push_back(parse_line(line));
    } catch (const InputError& error) {
      throw InputError(fmt::format("corpus file {}: {}", file.string(), error.what()));
    }
  }
  return cases;
}

fs::path save_to_corpus(const fs::path& folder, const CorpusCase& failure) {
  const std::string text = failure.planned.parameters.text();
  const std::string line = fmt::format("{} {} {}\n", failure.component, failure.planned.seed, text);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw InputError(fmt::format("corpus {}: expected a folder that can be made, got: {}",
                                 folder.string(), error.message()));
  }
  std::uint64_t hash = 0;
  for (const char letter : line) hash = splitmix64(hash) ^ static_cast<unsigned char>(letter);
  fs::path file = folder / fmt::format("{}-{:016x}.case", failure.component, hash);
  if (!fs::exists(file)) write_file(file, line);
  return file;
}

}  // namespace pairedhead
