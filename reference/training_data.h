#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reference/config.h"
#include "reference/document_packer.h"
#include "reference/shard_source.h"

namespace pairedhead::reference {

// A sequence, and -ln p of each target where the language that wrote it is known (nats).
struct ScoredSequence {
  PackedSequence packed;
  std::vector<double> surprisal;  // [T]; empty where it is not known
};

// What a training run reads (SPEC §8): training batches in order, and a validation text that starts
// anew at each validation.
class TrainingData {
 public:
  // `.bin` shards by pattern; without a validation pattern there is no validation. Throws
  // InputError where a pattern matches nothing.
  static TrainingData from_shards(const Config& config, const std::string& training,
                                  const std::string& validation, bool cycle);
  // A training text and a validation text, each one shard.
  static TrainingData from_tokens(const Config& config, Tokens training, Tokens validation);
  // A synthetic language with the configuration's BOS, whose documents are not longer than its
  // max_document, so that none is cut. The seed names the text; the language is always the same.
  static TrainingData synthetic(const Config& config, std::uint64_t seed);

  // One sequence a rank. Throws what TrainingBatches::next throws.
  std::vector<ScoredSequence> next(Index ranks, Index length);
  BatchPosition position() const { return batches_.position(); }
  void go_to(const BatchPosition& position) { batches_.go_to(position); }

  bool has_validation() const { return validation_ != nullptr; }
  // The first `sequences` of `length` tokens each. Throws InputError where the text is shorter.
  std::vector<ScoredSequence> validation(Index sequences, Index length) const;

 private:
  TrainingData(TrainingBatches batches, std::shared_ptr<const ShardSource> validation,
               const PackerSettings& packing);

  TrainingBatches batches_;
  std::shared_ptr<const ShardSource> validation_;
  PackerSettings packing_;
  std::shared_ptr<const SyntheticGrammar> grammar_;  // null where the language is not known
  std::shared_ptr<const SyntheticShards> scored_validation_;
};

}  // namespace pairedhead::reference
