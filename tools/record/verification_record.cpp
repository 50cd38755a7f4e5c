#include "tools/record/verification_record.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/record/fingerprint.h"
#include "tools/report/write_file.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

using nlohmann::json;

json to_json(const RecordedCase& c) {
  return {c.component, c.parameters, c.seed, c.rho_max, c.outputs};
}

RecordedCase case_from(const json& j) {
  return {j.at(0).get<std::string>(), j.at(1).get<std::string>(), j.at(2).get<std::uint64_t>(),
          j.at(3).get<double>(), j.at(4).get<std::string>()};
}

}  // namespace

std::string hash_of_outputs(const Arrays& outputs) {
  std::string hashes;
  for (const auto& [name, array] : outputs) {
    hashes += name + hash_of(array.bytes.data(), array.bytes.size());
  }
  return hash_of(hashes.data(), hashes.size());
}

void write_record(const std::filesystem::path& path, const VerificationRecord& record) {
  json head = {{"device", record.device},
               {"driver", record.driver},
               {"cuda", record.cuda},
               {"program", record.program},
               {"date", record.date},
               {"seed", record.seed},
               {"combined", combined(record.fingerprint)},
               {"fingerprint", record.fingerprint}};
  head["checks"] = json::array();
  for (const RecordedCheck& check : record.checks) {
    head["checks"].push_back(
        {{"name", check.name}, {"passed", check.passed}, {"finding", check.finding}});
  }
  // The cases by hand, so that each has a line of its own.
  std::string text = head.dump(1);
  text.erase(text.find_last_of('}'));
  text += ",\"cases\": [";
  for (std::size_t i = 0; i < record.cases.size(); ++i) {
    text += (i ? ",\n" : "\n") + to_json(record.cases[i]).dump();
  }
  text += "\n]}\n";

  std::error_code ignored;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ignored);
  write_file(path, text);
}

VerificationRecord read_record(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path.string() + ": the verification record cannot be opened");
  VerificationRecord record;
  try {
    const json j = json::parse(file);
    j.at("device").get_to(record.device);
    j.at("driver").get_to(record.driver);
    j.at("cuda").get_to(record.cuda);
    j.at("program").get_to(record.program);
    j.at("date").get_to(record.date);
    j.at("seed").get_to(record.seed);
    j.at("fingerprint").get_to(record.fingerprint);
    for (const json& check : j.at("checks")) {
      record.checks.push_back({check.at("name"), check.at("passed"), check.at("finding")});
    }
    for (const json& c : j.at("cases")) record.cases.push_back(case_from(c));
  } catch (const json::exception& error) {
    throw InputError(path.string() + ": not a verification record: " + error.what());
  }
  return record;
}

std::vector<RecordedCase> replay(const VerificationRecord& record, Target& target) {
  std::vector<RecordedCase> differing;
  for (const RecordedCase& recorded : record.cases) {
    const Component& component = component_named(recorded.component);
    const Parameters parameters = Parameters::parse(recorded.parameters);
    component.check(parameters);
    const Arrays inputs = component.inputs(parameters, recorded.seed);
    Arrays outputs = poisoned_outputs(component, parameters, recorded.seed);
    target.run(component, parameters, inputs, outputs);
    const std::string hash = hash_of_outputs(outputs);
    if (hash == recorded.outputs) continue;
    differing.push_back(recorded);
    differing.back().outputs = hash;
  }
  return differing;
}

std::vector<std::string> stale_files(const std::map<std::string, std::string>& recorded,
                                     const std::map<std::string, std::string>& current) {
  std::vector<std::string> stale;
  for (const auto& [file, hash] : recorded) {
    const auto found = current.find(file);
    if (found == current.end()) {
      stale.push_back(file + " (removed)");
    } else if (found->second != hash) {
      stale.push_back(file + " (changed)");
    }
  }
  for (const auto& [file, hash] : current) {
    if (recorded.count(file) == 0) stale.push_back(file + " (added)");
  }
  return stale;
}

}  // namespace pairedhead
