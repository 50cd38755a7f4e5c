#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "reference/shard_source.h"
#include "reference/tensor.h"

// How tokens become sequences of whole documents (SPEC §8 "Training batches", "Validation
// batches").

namespace pairedhead::reference {

struct PackerSettings {
  Index bos = 50256;          // the token that starts a document
  Index max_document = 2048;  // longer documents are cut in training; their rest is discarded
};

// One forward pass of one rank.
struct PackedSequence {
  std::vector<std::int32_t> inputs;   // [T]
  std::vector<std::int64_t> targets;  // [T], the token after each input, across documents too
  std::vector<Index> cu_seqlens;      // [cu_seqlens_entries(T)], document starts, padded with T
};

// How many entries cu_seqlens is padded to: the smallest multiple of 128, at least 128, that is
// >= length div 300.
Index cu_seqlens_entries(Index length);

// Packs the documents of one shard, in order, each used once.
class DocumentPacker {
 public:
  // Throws InputError if no token is BOS (`name` is the file in the sentence). Tokens before the
  // first BOS are never used.
  DocumentPacker(Tokens tokens, const PackerSettings& settings, const std::string& name);

  // The next call's sequences, one a rank, `length` >= 1 tokens each; rank r of a call with W ranks
  // equals the r-th of W calls with one. nullopt where the shard cannot fill all of them: then no
  // document is used up. Throws InputError if a sequence has more documents than cu_seqlens can
  // name.
  std::optional<std::vector<PackedSequence>> next(Index ranks, Index length);

  // The document that the next call starts with, counted from 0. Going to one throws InputError
  // unless the shard has as many.
  Index pointer() const { return pointer_; }
  void go_to(Index pointer);

 private:
  struct Cursor;
  std::optional<PackedSequence> pack(Cursor& cursor, Index length) const;

  Tokens tokens_;
  PackerSettings settings_;
  std::string name_;
  std::vector<Index> starts_;  // positions of BOS, then the shard's size
  Index pointer_ = 0;
  Index resume_ = 0;  // stays 0 but for a planted bug: where in its document the next call starts
};

// Where a run stands in its training text.
struct BatchPosition {
  Index shards = 0;    // opened so far; the last of them is being read
  Index document = 0;  // in it, the one that the next call starts with
  bool operator==(const BatchPosition&) const = default;
};

// Training batches from one shard after the other. What a shard has left when it cannot fill a call
// is dropped.
class TrainingBatches {
 public:
  TrainingBatches(std::shared_ptr<const ShardSource> source, const PackerSettings& settings,
                  bool cycle = false);
  // From files of one pattern. Throws InputError where there is none.
  TrainingBatches(std::vector<std::filesystem::path> files, Index vocabulary,
                  const PackerSettings& settings, bool cycle = false);

  // One sequence a rank. Throws InputError where the shards are exhausted (unless they are cycled),
  // or where no shard can fill a call, and what read_shard and DocumentPacker throw.
  std::vector<PackedSequence> next(Index ranks, Index length);

  // A run that goes to the position of another continues as that one did. Going there throws
  // InputError where the source has no such shard or document.
  BatchPosition position() const;
  void go_to(const BatchPosition& position);

 private:
  void open(Index shard);

  std::shared_ptr<const ShardSource> source_;
  PackerSettings settings_;
  bool cycle_;
  Index opened_ = 0;
  std::optional<DocumentPacker> packer_;
};

// Validation batches: the stream cut into sequences wherever they end.
class ValidationBatches {
 public:
  ValidationBatches(std::shared_ptr<const ShardSource> source, const PackerSettings& settings);
  // From files of one pattern. Throws InputError where there is none.
  ValidationBatches(std::vector<std::filesystem::path> files, Index vocabulary,
                    const PackerSettings& settings);
  // One sequence a rank, `length` tokens each. Throws InputError where the shards are exhausted or
  // a sequence has more documents than cu_seqlens can name.
  std::vector<PackedSequence> next(Index ranks, Index length);

 private:
  void open_next(Index needed);

  std::shared_ptr<const ShardSource> source_;
  PackerSettings settings_;
  Index opened_ = 0;
  Tokens tokens_;
  Index position_ = 0;
};

// tokens[position, position + length] as one validation sequence. Throws InputError unless they lie
// within the tokens.
PackedSequence validation_sequence(const Tokens& tokens, Index position, Index length,
                                   const PackerSettings& settings);

}  // namespace pairedhead::reference
