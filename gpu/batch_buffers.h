#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gpu/arena.h"
#include "gpu/model.h"
#include "gpu/pinned_memory.h"
#include "reference/document_packer.h"

namespace pairedhead::gpu {

// Sequences on their way to the device: copied into pinned memory, then across in one piece.
class BatchBuffers {
 public:
  // Room for `sequences` of up to `tokens` tokens, each with up to `entries` cu_seqlens, cut from
  // the arena.
  BatchBuffers(int sequences, int tokens, int entries, Arena& arena);
  static std::size_t bytes(int sequences, int tokens, int entries);

  // Enqueues the copy; earlier copies must have ended. Throws InputError where a sequence does not
  // fit, or has more documents than there is room for.
  void upload(std::span<const reference::PackedSequence> sequences, cudaStream_t stream);

  const std::vector<ModelBatch>& batches() const { return batches_; }

 private:
  int sequences_, tokens_, entries_;
  PinnedMemory host_;
  std::int32_t* device_;
  std::vector<ModelBatch> batches_;
};

}  // namespace pairedhead::gpu
