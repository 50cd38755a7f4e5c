#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "golden/array.h"

// Golden files and batch files. golden/README.md describes the schema and reads one with h5py.

namespace pairedhead {

// One case of golden/<component>.h5: what went in, what the definition says comes out, and how far
// off a sound target may be.
struct GoldenCase {
  std::string name;        // of its group; no '/'
  std::string component;   // SPEC §12.1
  std::string origin;      // "reference", "oracle" or "record"
  std::string parameters;  // the text form of Parameters, "D=16 H=6 T=48"
  std::uint64_t seed = 0;
  Arrays inputs;  // by name, "q", "grad_y"; every value representable in its dtype
  std::map<std::string, Tensor<double>> values;  // by "outputs/y" or "grads/q"
  std::map<std::string, DType> dtypes;  // the target's storage type of a value; fp64 if absent
  std::map<std::string, Tensor<double>> scale;  // sigma (tools/verdict/error_scale.h) by keys; none
                                                // for bitwise values
  // Set by read_golden; write_golden stores this program's own.
  std::string spec_version;
  std::string created_by;
};

// Replaces `path` atomically. Equal cases give equal bytes. Throws InputError if a case breaks the
// schema (an unknown origin, a non-finite value, a scale without its value, a shape that differs)
// or the file cannot be written; nothing half-written remains.
void write_golden(const std::filesystem::path& path, const std::vector<GoldenCase>& cases);

// All cases, by name. Throws InputError with file, dataset, expected and got: a truncated file, a
// failing checksum, a missing attribute or dataset, a wrong shape or dtype, NaN or infinity.
std::vector<GoldenCase> read_golden(const std::filesystem::path& path);

// The names of the cases, without reading their data.
std::vector<std::string> list_golden(const std::filesystem::path& path);

// A case as it travels to and from somebody else's program (`compare`, `eval`, `export-inputs`,
// exec: targets): a group of the same schema, with inputs or with outputs only.
struct BatchCase {
  std::string name;
  std::string component;   // empty if the file does not say
  std::string parameters;  // empty if the file does not say
  std::uint64_t seed = 0;  // 0 if the file does not say
  Arrays arrays;           // by "inputs/q", "outputs/y", "grads/q"
};

void write_batch(const std::filesystem::path& path, const std::vector<BatchCase>& cases);

// Attributes are optional, and so is dtype (the stored type then counts: float32, float64, int32,
// uint16). Inputs must be finite; outputs and grads are what a program made of them, NaN included.
// Throws InputError as read_golden.
std::vector<BatchCase> read_batch(const std::filesystem::path& path);

}  // namespace pairedhead
