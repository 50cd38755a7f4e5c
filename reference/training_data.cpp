#include "reference/training_data.h"

#include <cmath>
#include <utility>

namespace pairedhead::reference {
namespace {

constexpr std::uint64_t language_seed = 1;
constexpr Index synthetic_shard_tokens = 1 << 17;

PackerSettings packing_of(const Config& config) { return {config.bos, config.max_document}; }

// Documents of half the greatest length on average.
SyntheticSettings language_of(const Config& config) {
  SyntheticSettings settings;
  settings.vocabulary = config.bos + 1;
  settings.longest = config.max_document;
  settings.end = 2.0 / static_cast<double>(config.max_document);
  return settings;
}

// -ln p of each target of a training sequence, whose documents are all there from their start.
std::vector<double> surprisal_of(const PackedSequence& sequence, const SyntheticGrammar& grammar) {
  std::vector<double> surprisal;
  Tokens document;
  for (std::size_t t = 0; t < sequence.inputs.size(); ++t) {
    const auto token = static_cast<std::uint16_t>(sequence.inputs[t]);
    if (token == grammar.bos()) document.clear();
    document.push_back(token);
    const auto target = static_cast<std::uint16_t>(sequence.targets[t]);
    surprisal.push_back(-std::log(grammar.probability(document, target)));
  }
  return surprisal;
}

}  // namespace

TrainingData::TrainingData(TrainingBatches batches, std::shared_ptr<const ShardSource> validation,
                           const PackerSettings& packing)
    : batches_(std::move(batches)), validation_(std::move(validation)), packing_(packing) {}

TrainingData TrainingData::from_shards(const Config& config, const std::string& training,
                                       const std::string& validation, bool cycle) {
  std::shared_ptr<const ShardSource> held_out;
  if (!validation.empty()) {
    held_out = std::make_shared<ShardFiles>("validation shards", shard_files(validation),
                                            config.vocabulary);
  }
  const PackerSettings packing = packing_of(config);
  return {TrainingBatches(shard_files(training), config.vocabulary, packing, cycle), held_out,
          packing};
}

TrainingData TrainingData::from_tokens(const Config& config, Tokens training, Tokens validation) {
  const auto shard = [](const char* name, Tokens tokens) {
    return std::make_shared<const TokenShard>(name, std::move(tokens));
  };
  const PackerSettings packing = packing_of(config);
  return {TrainingBatches(shard("training tokens", std::move(training)), packing),
          shard("validation tokens", std::move(validation)), packing};
}

TrainingData TrainingData::synthetic(const Config& config, std::uint64_t seed) {
  auto grammar = std::make_shared<const SyntheticGrammar>(language_of(config), language_seed);
  const auto shards = [&](std::uint64_t part) {
    return std::make_shared<const SyntheticShards>(grammar, Random(seed).split(part).bits(),
                                                   synthetic_shard_tokens);
  };
  const PackerSettings packing = packing_of(config);
  TrainingData data(TrainingBatches(shards(1), packing), shards(2), packing);
  data.scored_validation_ = shards(2);
  data.grammar_ = std::move(grammar);
  return data;
}

std::vector<ScoredSequence> TrainingData::next(Index ranks, Index length) {
  std::vector<ScoredSequence> sequences;
  for (PackedSequence& packed : batches_.next(ranks, length)) {
    std::vector<double> surprisal;
    if (grammar_) surprisal = surprisal_of(packed, *grammar_);
    sequences.push_back({std::move(packed), std::move(surprisal)});
  }
  return sequences;
}

std::vector<ScoredSequence> TrainingData::validation(Index sequences, Index length) const {
  if (scored_validation_) {
    // One stretch of text, so that the recorded surprisal and the targets go side by side.
    const SyntheticText text = scored_validation_->text(0);
    std::vector<ScoredSequence> scored;
    for (Index i = 0; i < sequences; ++i) {
      ScoredSequence sequence{validation_sequence(text.tokens, i * length, length, packing_), {}};
      const auto first = text.surprisal.begin() + i * length + 1;
      sequence.surprisal.assign(first, first + length);
      scored.push_back(std::move(sequence));
    }
    return scored;
  }
  ValidationBatches batches(validation_, packing_);
  std::vector<ScoredSequence> plain;
  for (Index i = 0; i < sequences; ++i) plain.push_back({batches.next(1, length)[0], {}});
  return plain;
}

}  // namespace pairedhead::reference
