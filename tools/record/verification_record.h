#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tools/targets/target.h"

namespace pairedhead {

// What one run of `verify --target gpu` found, so that it can be checked and not only believed:
// kernels are deterministic, hence another GPU of the kind must give the same bits.

struct RecordedCase {
  std::string component;
  std::string parameters;
  std::uint64_t seed = 0;
  double rho_max = 0;   // 0 for bitwise rows and for cases that are only hashed
  std::string outputs;  // hash of all output bits, 16 hex digits
  bool operator==(const RecordedCase&) const = default;
};

// Exhaustive checks at the record's own shapes, as one sentence each.
struct RecordedCheck {
  std::string name;  // "mask census T=16384 paired window=128"
  bool passed = false;
  std::string finding;
};

struct VerificationRecord {
  std::string device, driver, cuda, program, date;
  std::uint64_t seed = 0;
  std::map<std::string, std::string> fingerprint;  // tools/record/fingerprint.h
  std::vector<RecordedCase> cases;
  std::vector<RecordedCheck> checks;
};

// Hash of the bits of all outputs, in the order of their names.
std::string hash_of_outputs(const Arrays& outputs);

// JSON, one line a case so that a diff shows what moved. Replaces the file atomically. Throws
// InputError if it cannot be written.
void write_record(const std::filesystem::path& path, const VerificationRecord& record);
// Throws InputError naming the file and what is missing or misshapen.
VerificationRecord read_record(const std::filesystem::path& path);

// Runs every recorded case on the target and compares the hashes. Returns the cases that gave other
// bits, with the hash that they gave now.
std::vector<RecordedCase> replay(const VerificationRecord& record, Target& target);

// Files of the fingerprint that differ between then and now, "name (changed)", "name (added)",
// "name (removed)"; none means that the record is CURRENT.
std::vector<std::string> stale_files(const std::map<std::string, std::string>& recorded,
                                     const std::map<std::string, std::string>& current);

}  // namespace pairedhead
