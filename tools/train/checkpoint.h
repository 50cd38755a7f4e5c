#pragma once

#include <filesystem>
#include <string>

#include "reference/trainer.h"
#include "tools/train/checkpoint_header.h"

namespace pairedhead {

// A training run of the reference in one HDF5 file, readable with h5py: /parameters/NAME,
// /normuon/NAME/{moment, second_moment, mantissa}, /adam/NAME/{first, second} with the attribute
// updates, /pending/RANK/NAME, /rotary, and what else TrainerState holds as attributes of the root.
// All values as they are computed with (float64), all data with checksums.

// Replaces `path` by the state, whole or not at all: whatever happens meanwhile, the last good one
// is there. Throws InputError where it cannot be written, NonFiniteState where nothing could go on
// from it.
void write_checkpoint(const std::filesystem::path& path, const reference::TrainerState& state,
                      const reference::TrainerSettings& settings, const RunIdentity& run);

// Throws InputError with one sentence on a file that is no checkpoint, truncated, damaged, or of
// another configuration, number of ranks, storage or text.
reference::TrainerState read_checkpoint(const std::filesystem::path& path,
                                        const reference::TrainerSettings& settings,
                                        const RunIdentity& run);

// The group /parameters of a checkpoint or of anybody's file. Throws InputError naming the tensor
// that is missing, misshapen or not finite.
reference::ParameterSet<double> read_weights(const std::filesystem::path& path,
                                             const std::vector<reference::ParameterInfo>& table);

// The same group, for read_weights and for other programs: values of bf16 as float32. Throws
// InputError where it cannot be written.
void write_weights(const std::filesystem::path& path,
                   const reference::ParameterSet<double>& weights,
                   const std::vector<reference::ParameterInfo>& table);

}  // namespace pairedhead
