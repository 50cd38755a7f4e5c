#pragma once

#include <filesystem>

#include "tools/record/record_shape_checks.h"
#include "tools/verify/run_case.h"

namespace pairedhead {

// Collects a verification record while verify runs on the GPU.
class Recorder {
 public:
  // `source_dir`: the project's folder, for the fingerprint. Throws InputError if it is none.
  Recorder(const std::filesystem::path& source_dir, std::uint64_t seed);

  void add(const std::string& component, const CaseResult& result);

  // Runs the full-size checks on the target and notes them; false if one failed.
  bool check_shapes(Target& target);

  // Notes the device and writes the record. `path` empty: golden/verified/<device>.json under the
  // source folder. Returns the path.
  std::filesystem::path write(std::filesystem::path path);

 private:
  std::filesystem::path source_dir_;
  VerificationRecord record_;
};

// Replays a record on the target and prints what differs. Returns whether every hash was
// reproduced.
bool replay_record(const std::filesystem::path& path, Target& target);

// "NVIDIA H100 80GB HBM3" -> "nvidia-h100-80gb-hbm3"
std::string file_name_of_device(const std::string& device);

}  // namespace pairedhead
