#include "tools/report/kill_lines.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "reference/error.h"

namespace pairedhead {

std::vector<KillLine> read_kill_lines(const std::filesystem::path& path) {
  std::ifstream stream(path);
  if (!stream) throw InputError(path.string() + ": expected a kill table, got no such file");
  std::vector<KillLine> lines;
  try {
    const auto table = nlohmann::json::parse(stream);
    for (const auto& bug : table.at("mutants")) {
      lines.push_back({bug.at("name"), bug.at("trap"), bug.at("what"), bug.at("component"),
                       bug.at("why"), bug.at("killed"), bug.at("cases")});
    }
  } catch (const nlohmann::json::exception& error) {
    throw InputError(path.string() + ": expected the JSON of pairedhead mutants --json, got " +
                     error.what());
  }
  return lines;
}

}  // namespace pairedhead
