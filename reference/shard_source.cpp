#include "reference/shard_source.h"

#include <utility>

namespace pairedhead::reference {

ShardFiles::ShardFiles(const std::string& what, std::vector<std::filesystem::path> files,
                       Index vocabulary)
    : files_(std::move(files)), vocabulary_(vocabulary) {
  if (files_.empty()) throw InputError(what + ": expected at least one file, got none");
}

std::optional<Index> ShardFiles::count() const { return static_cast<Index>(files_.size()); }

std::string ShardFiles::name(Index shard) const {
  return files_.at(static_cast<std::size_t>(shard)).string();
}

Tokens ShardFiles::read(Index shard) const {
  return read_shard(files_.at(static_cast<std::size_t>(shard)), vocabulary_);
}

TokenShard::TokenShard(std::string name, Tokens tokens)
    : name_(std::move(name)), tokens_(std::move(tokens)) {}

SyntheticShards::SyntheticShards(std::shared_ptr<const SyntheticGrammar> grammar,
                                 std::uint64_t seed, Index shard_tokens)
    : grammar_(std::move(grammar)), seed_(seed), shard_tokens_(shard_tokens) {}

std::string SyntheticShards::name(Index shard) const {
  return "synthetic text " + std::to_string(shard);
}

Tokens SyntheticShards::read(Index shard) const { return text(shard).tokens; }

SyntheticText SyntheticShards::text(Index shard) const {
  const std::uint64_t seed = Random(seed_).split(static_cast<std::uint64_t>(shard)).bits();
  return SyntheticStream(grammar_, seed).next(shard_tokens_);
}

}  // namespace pairedhead::reference
