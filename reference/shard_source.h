#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reference/shards.h"
#include "reference/synthetic.h"

namespace pairedhead::reference {

// Shards by number, wherever their tokens come from.
class ShardSource {
 public:
  virtual ~ShardSource() = default;
  // nullopt: without an end.
  virtual std::optional<Index> count() const = 0;
  virtual std::string name(Index shard) const = 0;
  // The same tokens every time. Throws InputError where they cannot be had.
  virtual Tokens read(Index shard) const = 0;
};

// `.bin` files, in the order given.
class ShardFiles final : public ShardSource {
 public:
  // `what` is named in the sentence of the InputError if there is no file.
  ShardFiles(const std::string& what, std::vector<std::filesystem::path> files, Index vocabulary);
  std::optional<Index> count() const override;
  std::string name(Index shard) const override;
  Tokens read(Index shard) const override;  // throws what read_shard throws

 private:
  std::vector<std::filesystem::path> files_;
  Index vocabulary_;
};

// One shard, of tokens that are there already.
class TokenShard final : public ShardSource {
 public:
  TokenShard(std::string name, Tokens tokens);
  std::optional<Index> count() const override { return 1; }
  std::string name(Index) const override { return name_; }
  Tokens read(Index) const override { return tokens_; }

 private:
  std::string name_;
  Tokens tokens_;
};

// A synthetic language's text, cut into shards of its own: the n-th starts a stream of its own.
class SyntheticShards final : public ShardSource {
 public:
  SyntheticShards(std::shared_ptr<const SyntheticGrammar> grammar, std::uint64_t seed,
                  Index shard_tokens);
  std::optional<Index> count() const override { return std::nullopt; }
  std::string name(Index shard) const override;
  Tokens read(Index shard) const override;
  // The same with the surprisal of each token.
  SyntheticText text(Index shard) const;

 private:
  std::shared_ptr<const SyntheticGrammar> grammar_;
  std::uint64_t seed_;
  Index shard_tokens_;
};

}  // namespace pairedhead::reference
