#pragma once

#include <string>
#include <utility>
#include <vector>

#include "golden/hdf5_file.h"
#include "reference/config.h"
#include "reference/document_packer.h"
#include "reference/rotary.h"

// What the checkpoints of every device say besides their tensors: attributes of the root, and the
// group /rotary.

namespace pairedhead {

// What the run must have in common with the checkpoint besides its configuration.
struct RunIdentity {
  std::string data;  // what it reads, "synthetic, seed 1"
};

// Words that must agree, by the attribute's name; the first is "kind".
using RunWords = std::vector<std::pair<std::string, std::string>>;
RunWords run_words(const std::string& kind, const reference::Config& config,
                   const RunIdentity& run);

// Where the run stands.
struct CheckpointHeader {
  Index step = 0;                     // the next one
  bool split = false;                 // embed is its own parameter
  Index long_blocks = 0;              // the long window that `rotary` was made for
  reference::BatchPosition position;  // of the training text, after the last step taken
  reference::RotaryState rotary;      // of both tables
};

void write_header(hdf5::Writer& file, const RunWords& words, const CheckpointHeader& header);
// Throws InputError where a word is another, or a number or the frequencies are missing.
CheckpointHeader read_header(const hdf5::Reader& file, const RunWords& words, Index head_dim);

// An attribute as an Index. Throws InputError where it is missing or too large.
Index index_attribute(const hdf5::Reader& file, const std::string& object, const std::string& name);

// A dataset as doubles. Throws InputError unless it has this shape.
Tensor<double> tensor_of(const hdf5::Reader& file, const std::string& name, const Shape& shape);

// Throws the InputError of a checkpoint: "path: what: expected ..., got ...".
[[noreturn]] void refuse_checkpoint(const hdf5::Reader& file, const std::string& what,
                                    const std::string& expected, const std::string& got);

}  // namespace pairedhead
