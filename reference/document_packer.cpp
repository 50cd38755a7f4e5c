#include "reference/document_packer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "reference/mutant.h"

namespace pairedhead::reference {
namespace {

constexpr Index entries_unit = 128;
constexpr Index tokens_per_entry = 300;

[[noreturn]] void fail(const std::string& what, const std::string& expected,
                       const std::string& got) {
  throw InputError(what + ": expected " + expected + ", got " + got);
}

void require_positive(const char* what, Index value) {
  if (value < 1) fail(what, "at least 1", std::to_string(value));
}

// inputs and targets from length + 1 tokens.
void split_buffer(const std::vector<std::uint16_t>& buffer, PackedSequence& sequence) {
  sequence.inputs.assign(buffer.begin(), buffer.end() - 1);
  sequence.targets.assign(buffer.begin() + 1, buffer.end());
}

// cu_seqlens from the places where documents end or start, in ascending order.
std::vector<Index> padded(const std::vector<Index>& places, Index length, const std::string& name) {
  const Index entries = cu_seqlens_entries(length);
  const auto count = static_cast<Index>(places.size());
  if (count > entries - 1) {
    fail(name,
         "at most " + std::to_string(entries - 1) + " documents in a sequence of " +
             std::to_string(length) + " tokens",
         std::to_string(count));
  }
  std::vector<Index> cu_seqlens(static_cast<std::size_t>(entries), length);
  cu_seqlens[0] = 0;
  std::copy(places.begin(), places.end(), cu_seqlens.begin() + 1);
  return cu_seqlens;
}

}  // namespace

Index cu_seqlens_entries(Index length) {
  const Index least = length / tokens_per_entry;
  return std::max(entries_unit, (least + entries_unit - 1) / entries_unit * entries_unit);
}

// Where packing stands within a call; committed to the packer when the whole call succeeds.
struct DocumentPacker::Cursor {
  Index document;
  Index resume;
};

DocumentPacker::DocumentPacker(Tokens tokens, const PackerSettings& settings,
                               const std::string& name)
    : tokens_(std::move(tokens)), settings_(settings), name_(name) {
  require_positive("max_document", settings.max_document);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i] == settings_.bos) starts_.push_back(static_cast<Index>(i));
  }
  if (starts_.empty()) {
    fail(name_, "a document start (token " + std::to_string(settings_.bos) + ")",
         "none in " + std::to_string(tokens_.size()) + " tokens");
  }
  starts_.push_back(static_cast<Index>(tokens_.size()));
}

std::optional<PackedSequence> DocumentPacker::pack(Cursor& cursor, Index length) const {
  std::vector<std::uint16_t> buffer;
  std::vector<Index> ends;
  const auto documents = static_cast<Index>(starts_.size()) - 1;
  // One token more than the sequence, for the last target.
  while (static_cast<Index>(buffer.size()) <= length) {
    if (cursor.document >= documents) return std::nullopt;
    const Index start = starts_[static_cast<std::size_t>(cursor.document)] + cursor.resume;
    const Index document_end = starts_[static_cast<std::size_t>(cursor.document) + 1];
    const Index room = length + 1 - static_cast<Index>(buffer.size());
    const Index end = std::min({document_end, start + settings_.max_document, start + room});
    buffer.insert(buffer.end(), tokens_.begin() + start, tokens_.begin() + end);
    ends.push_back(static_cast<Index>(buffer.size()));
    if (mutated(Mutant::packer_resumes_truncated) && end < document_end) {
      cursor.resume = end - starts_[static_cast<std::size_t>(cursor.document)];
    } else {
      ++cursor.document;
      cursor.resume = 0;
    }
  }
  // The last token is a target only.
  if (!mutated(Mutant::packer_counts_extra_token)) ends.back() -= 1;
  PackedSequence sequence;
  split_buffer(buffer, sequence);
  sequence.cu_seqlens = padded(ends, length, name_);
  return sequence;
}

std::optional<std::vector<PackedSequence>> DocumentPacker::next(Index ranks, Index length) {
  require_positive("ranks", ranks);
  require_positive("sequence length", length);
  Cursor cursor{pointer_, resume_};
  std::vector<PackedSequence> sequences;
  for (Index rank = 0; rank < ranks; ++rank) {
    std::optional<PackedSequence> sequence = pack(cursor, length);
    if (!sequence) return std::nullopt;
    sequences.push_back(std::move(*sequence));
  }
  pointer_ = cursor.document;
  resume_ = cursor.resume;
  return sequences;
}

void DocumentPacker::go_to(Index pointer) {
  const auto documents = static_cast<Index>(starts_.size()) - 1;
  if (pointer < 0 || pointer > documents) {
    fail(name_, "a document " + std::to_string(pointer) + " to go to",
         std::to_string(documents) + " documents");
  }
  pointer_ = pointer;
  resume_ = 0;
}

TrainingBatches::TrainingBatches(std::shared_ptr<const ShardSource> source,
                                 const PackerSettings& settings, bool cycle)
    : source_(std::move(source)), settings_(settings), cycle_(cycle) {}

TrainingBatches::TrainingBatches(std::vector<std::filesystem::path> files, Index vocabulary,
                                 const PackerSettings& settings, bool cycle)
    : TrainingBatches(std::make_shared<ShardFiles>("training shards", std::move(files), vocabulary),
                      settings, cycle) {}

void TrainingBatches::open(Index shard) {
  packer_.emplace(source_->read(shard), settings_, source_->name(shard));
}

std::vector<PackedSequence> TrainingBatches::next(Index ranks, Index length) {
  const std::optional<Index> count = source_->count();
  for (Index tried = 0;; ++tried) {
    if (packer_) {
      if (auto sequences = packer_->next(ranks, length)) return std::move(*sequences);
    }
    if (count && opened_ >= *count && !cycle_) {
      fail(source_->name(*count - 1),
           "documents for another " + std::to_string(ranks) + " x " + std::to_string(length) +
               " tokens",
           "the end of the last shard");
    }
    if (tried == count.value_or(1)) {
      fail(source_->name(0),
           "a shard that can fill " + std::to_string(ranks) + " x " + std::to_string(length) +
               " tokens",
           "none of " + std::to_string(count.value_or(1)) + " that can");
    }
    open(count ? opened_ % *count : opened_);
    ++opened_;
  }
}

BatchPosition TrainingBatches::position() const {
  return {opened_, packer_ ? packer_->pointer() : 0};
}

void TrainingBatches::go_to(const BatchPosition& position) {
  const std::optional<Index> count = source_->count();
  if (position.shards < 0 || (count && position.shards > *count && !cycle_)) {
    fail("training text", "shard " + std::to_string(position.shards) + " to go to",
         count ? std::to_string(*count) + " shards" : "no such number");
  }
  opened_ = position.shards;
  packer_.reset();
  if (opened_ == 0) return;
  open(count ? (opened_ - 1) % *count : opened_ - 1);
  packer_->go_to(position.document);
}

ValidationBatches::ValidationBatches(std::shared_ptr<const ShardSource> source,
                                     const PackerSettings& settings)
    : source_(std::move(source)), settings_(settings) {}

ValidationBatches::ValidationBatches(std::vector<std::filesystem::path> files, Index vocabulary,
                                     const PackerSettings& settings)
    : ValidationBatches(
          std::make_shared<ShardFiles>("validation shards", std::move(files), vocabulary),
          settings) {}

void ValidationBatches::open_next(Index needed) {
  if (const auto count = source_->count(); count && opened_ == *count) {
    fail(source_->name(*count - 1), "another " + std::to_string(needed) + " tokens",
         "the end of the last shard");
  }
  tokens_ = source_->read(opened_++);
  position_ = 0;
}

std::vector<PackedSequence> ValidationBatches::next(Index ranks, Index length) {
  require_positive("ranks", ranks);
  require_positive("sequence length", length);
  const Index taken = ranks * length;
  while (position_ + taken + 1 >= static_cast<Index>(tokens_.size())) open_next(taken + 1);
  std::vector<PackedSequence> sequences;
  for (Index rank = 0; rank < ranks; ++rank) {
    sequences.push_back(validation_sequence(tokens_, position_ + rank * length, length, settings_));
  }
  position_ += taken;
  return sequences;
}

PackedSequence validation_sequence(const Tokens& tokens, Index position, Index length,
                                   const PackerSettings& settings) {
  require_positive("sequence length", length);
  const auto size = static_cast<Index>(tokens.size());
  if (position < 0 || position > size - length - 1) {
    fail("validation tokens " + std::to_string(position) + " to " +
             std::to_string(position + length),
         "them within the shard", std::to_string(size) + " tokens");
  }
  PackedSequence sequence;
  split_buffer({tokens.begin() + position, tokens.begin() + position + length + 1}, sequence);
  std::vector<Index> starts;
  for (Index i = 0; i < length; ++i) {
    if (sequence.inputs[static_cast<std::size_t>(i)] == settings.bos) starts.push_back(i);
  }
  // The end of the last document needs an entry too: the array must still end with T.
  starts.push_back(length);
  sequence.cu_seqlens = padded(starts, length, "validation sequence");
  return sequence;
}

}  // namespace pairedhead::reference
