#include "tools/record/recorder.h"

#include <fmt/format.h>

#include <cctype>
#include <ctime>

#include "tools/record/fingerprint.h"
#include "tools/record/token_shape_checks.h"
#ifdef PAIREDHEAD_HAS_CUDA
#include "gpu/device.h"
#include "tools/record/gpu_accumulator.h"
#include "tools/record/gpu_record_head_check.h"
#endif

namespace pairedhead {
namespace {

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm date{};
  gmtime_r(&now, &date);
  return fmt::format("{:04}-{:02}-{:02}", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
}

}  // namespace

Recorder::Recorder(const std::filesystem::path& source_dir, std::uint64_t seed)
    : source_dir_(source_dir) {
  record_.seed = seed;
  record_.fingerprint = source_fingerprint(source_dir);
  record_.program = PAIREDHEAD_VERSION;
  record_.date = today();
#ifdef PAIREDHEAD_HAS_CUDA
  const gpu::DeviceInfo device = gpu::require_device();
  record_.device = device.name;
  record_.driver = gpu::version_text(device.driver_version);
  record_.cuda = gpu::version_text(device.runtime_version);
#endif
}

void Recorder::add(const std::string& component, const CaseResult& result) {
  record_.cases.push_back({component, result.planned.parameters.text(), result.planned.seed,
                           result.verdict.worst.max, hash_of_outputs(result.outputs)});
}

bool Recorder::check_shapes(Target& target) {
  ShapeCheckOptions options;
  options.seed = record_.seed;
  options.on_check = [](const RecordedCheck& check) {
    fmt::print("{:<44} {}  {}\n", check.name, check.passed ? "PASSED" : "FAILED", check.finding);
    std::fflush(stdout);
  };
  record_.checks = check_record_shapes(target, options);
  for (const RecordedCheck& check : check_token_shapes(target, options)) {
    record_.checks.push_back(check);
  }
#ifdef PAIREDHEAD_HAS_CUDA
  for (const auto& check : {check_fp8_accumulator, check_record_head}) {
    record_.checks.push_back(check());
    options.on_check(record_.checks.back());
  }
#endif
  for (const RecordedCheck& check : record_.checks) {
    if (!check.passed) return false;
  }
  return true;
}

std::filesystem::path Recorder::write(std::filesystem::path path) {
  if (path.empty()) {
    path = source_dir_ / "golden" / "verified" / (file_name_of_device(record_.device) + ".json");
  }
  write_record(path, record_);
  return path;
}

bool replay_record(const std::filesystem::path& path, Target& target) {
  const VerificationRecord record = read_record(path);
  const auto differing = replay(record, target);
  for (const RecordedCase& c : differing) {
    fmt::print("{} \"{}\" --seed {}: other bits than recorded on {} (hash now {})\n", c.component,
               c.parameters, c.seed, record.device, c.outputs);
  }
  fmt::print("{} of {} recorded cases gave the recorded bits\n",
             record.cases.size() - differing.size(), record.cases.size());
  return differing.empty() && !record.cases.empty();
}

std::string file_name_of_device(const std::string& device) {
  std::string name;
  for (const char c : device) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  return name.empty() ? "unknown-device" : name;
}

}  // namespace pairedhead
