#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "gpu/trainer_state.h"
#include "reference/document_packer.h"
#include "tools/train/checkpoint_header.h"

namespace pairedhead {

// A training run on a device in one HDF5 file, readable with h5py: every StateTensor under its name
// in its own type (bf16 as uint16, its bits), /adam/NAME with the attribute updates where Adam has
// moved NAME, and the header. Checksums on all data; nothing is deflated, which would take longer
// than many steps.

// Copies one tensor to or from `elements` on the host.
using TensorDownload = std::function<void(const gpu::StateTensor& tensor, void* elements)>;
using TensorUpload = std::function<void(const gpu::StateTensor& tensor, const void* elements)>;

// Replaces `path` by the state, whole or not at all. Throws InputError where it cannot be written,
// NonFiniteState where nothing could go on from it.
void write_device_checkpoint(const std::filesystem::path& path, const RunWords& words,
                             const gpu::TrainerProgress& progress,
                             const reference::BatchPosition& position,
                             const std::vector<gpu::StateTensor>& tensors,
                             const TensorDownload& download);

struct DeviceCheckpoint {
  gpu::TrainerProgress progress;
  reference::BatchPosition position;
};

// Fills the tensors of a trainer. Throws InputError with one sentence on a file that is no such
// checkpoint, truncated, damaged, or of another run; some tensors may then have been filled.
DeviceCheckpoint read_device_checkpoint(const std::filesystem::path& path, const RunWords& words,
                                        Index head_dim,
                                        const std::vector<gpu::StateTensor>& tensors,
                                        const TensorUpload& upload);

}  // namespace pairedhead
