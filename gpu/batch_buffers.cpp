#include "gpu/batch_buffers.h"

#include <algorithm>
#include <string>

#include "reference/error.h"

namespace pairedhead::gpu {

std::size_t BatchBuffers::bytes(int sequences, int tokens, int entries) {
  return sizeof(std::int32_t) * static_cast<std::size_t>(sequences) *
         static_cast<std::size_t>(2 * tokens + entries);
}

BatchBuffers::BatchBuffers(int sequences, int tokens, int entries, Arena& arena)
    : sequences_(sequences),
      tokens_(tokens),
      entries_(entries),
      host_(bytes(sequences, tokens, entries)),
      device_(arena.take<std::int32_t>(
          static_cast<std::int64_t>(bytes(sequences, tokens, entries) / sizeof(std::int32_t)))) {}

void BatchBuffers::upload(std::span<const reference::PackedSequence> sequences,
                          cudaStream_t stream) {
  if (sequences.size() > static_cast<std::size_t>(sequences_)) {
    throw InputError("batch: expected at most " + std::to_string(sequences_) + " sequences, got " +
                     std::to_string(sequences.size()));
  }
  batches_.clear();
  std::int64_t used = 0;
  // Copies an array of any integers and says where it will be on the device.
  const auto put = [&](const auto& values) {
    std::transform(values.begin(), values.end(), host_.as<std::int32_t>() + used,
                   [](auto value) { return static_cast<std::int32_t>(value); });
    const std::int32_t* const place = device_ + used;
    used += static_cast<std::int64_t>(values.size());
    return place;
  };
  for (const reference::PackedSequence& sequence : sequences) {
    if (sequence.inputs.size() > static_cast<std::size_t>(tokens_) ||
        sequence.cu_seqlens.size() > static_cast<std::size_t>(entries_)) {
      throw InputError("batch: expected at most " + std::to_string(tokens_) + " tokens in " +
                       std::to_string(entries_ - 1) + " documents, got " +
                       std::to_string(sequence.inputs.size()) + " in " +
                       std::to_string(sequence.cu_seqlens.size() - 1));
    }
    const auto* const inputs = put(sequence.inputs);
    const auto* const targets = put(sequence.targets);
    const auto* const cu_seqlens = put(sequence.cu_seqlens);
    batches_.push_back({.tokens = static_cast<int>(sequence.inputs.size()),
                        .inputs = inputs,
                        .targets = targets,
                        .cu_seqlens = cu_seqlens,
                        .entries = static_cast<int>(sequence.cu_seqlens.size())});
  }
  CUDA_CHECK(cudaMemcpyAsync(device_, host_.as<std::int32_t>(),
                             static_cast<std::size_t>(used) * sizeof(std::int32_t),
                             cudaMemcpyHostToDevice, stream));
}

}  // namespace pairedhead::gpu
