#pragma once

#include <string>
#include <vector>

#include "tools/components/parameters.h"

namespace pairedhead {

// One row of the attention table that the record runs: its shapes in the three phases of training
// (SPEC §7.1), and what FlashAttention-3 took for it on an H100 80GB HBM3 (milliseconds, measured
// 2026-11 with the record's own padding of cu_seqlens by empty documents).
struct RecordShape {
  Index tokens;
  bool paired;
  Index window;
  Index entries;  // of cu_seqlens, SPEC §8 "maxd"
  double peer_forward_ms, peer_backward_ms;

  std::string component() const { return paired ? "attention_paired" : "attention_plain"; }
  // "T=16384 paired window=128"
  std::string name() const;
};

const std::vector<RecordShape>& record_shapes();

// The component's parameters at a record shape, H = 6, D = 128, with the given document lengths,
// padded with empty documents to the shape's number of entries.
Parameters record_parameters(const RecordShape& shape, std::vector<Index> documents);

// Document lengths as packed text has them: exponential with mean 600, at most 2048, cut at T.
std::vector<Index> typical_documents(Index tokens, std::uint64_t seed);

}  // namespace pairedhead
