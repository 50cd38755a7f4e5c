#include "reference/document_packer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "reference/random.h"
#include "tests/refusal.h"

namespace pairedhead::reference {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint16_t bos = 50256;
constexpr Index vocabulary = 50304;

// Documents of the given lengths; token j of document i is 100 i + j, so that each can be
// recognised.
Tokens documents(const std::vector<Index>& lengths) {
  Tokens tokens;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    for (Index j = 0; j < lengths[i]; ++j) {
      tokens.push_back(
          j == 0 ? bos : static_cast<std::uint16_t>(100 * i) + static_cast<std::uint16_t>(j));
    }
  }
  return tokens;
}

std::vector<Index> first(const std::vector<Index>& values, std::size_t count) {
  return {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count)};
}

class DocumentPackerFiles : public testing::Test {
 protected:
  DocumentPackerFiles() { fs::create_directories(folder_); }
  ~DocumentPackerFiles() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const Tokens& tokens) const {
    const std::vector<std::byte> bytes = encode_shard(tokens);
    std::ofstream(folder_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return folder_ / name;
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("pairedhead_packer_" + std::to_string(getpid()) + "_" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST(DocumentPacker, EntriesOfSpec) {  // SPEC §8: maxd
  EXPECT_EQ(cu_seqlens_entries(16384), 128);
  EXPECT_EQ(cu_seqlens_entries(32768), 128);
  EXPECT_EQ(cu_seqlens_entries(49152), 256);
  EXPECT_EQ(cu_seqlens_entries(262144), 896);
  EXPECT_EQ(cu_seqlens_entries(1), 128);
  EXPECT_EQ(cu_seqlens_entries(128 * 300), 128);
  EXPECT_EQ(cu_seqlens_entries(129 * 300), 256);
}

TEST(DocumentPacker, PacksByHand) {
  // Before the first BOS: unused. Documents of 3, 5, 4 tokens; max_document cuts the second to 4.
  Tokens tokens = {7, 8};
  const Tokens whole = documents({3, 5, 4});
  tokens.insert(tokens.end(), whole.begin(), whole.end());
  DocumentPacker packer(tokens, {.bos = bos, .max_document = 4}, "x");
  const auto packed = packer.next(1, 8);
  ASSERT_TRUE(packed);
  ASSERT_EQ(packed->size(), 1u);
  const PackedSequence& sequence = packed->front();
  // 3 + 4 + the first 2 of the last one; the ninth token is a target only.
  EXPECT_THAT(sequence.inputs, ElementsAre(bos, 1, 2, bos, 101, 102, 103, bos));
  EXPECT_THAT(sequence.targets, ElementsAre(1, 2, bos, 101, 102, 103, bos, 201));
  EXPECT_EQ(first(sequence.cu_seqlens, 5), (std::vector<Index>{0, 3, 7, 8, 8}));
  EXPECT_EQ(sequence.cu_seqlens.size(), 128u);
  // The rest of the documents that were cut is gone.
  EXPECT_EQ(packer.pointer(), 3);
  EXPECT_FALSE(packer.next(1, 1));
}

TEST(DocumentPacker, LoneBosAtTheEndIsAnEmptyDocument) {
  DocumentPacker packer(documents({4, 5}), {.bos = bos, .max_document = 2048}, "x");
  const auto packed = packer.next(1, 4);
  ASSERT_TRUE(packed);
  EXPECT_EQ(first(packed->front().cu_seqlens, 4), (std::vector<Index>{0, 4, 4, 4}));
  EXPECT_EQ(packed->front().targets.back(), bos);
}

TEST(DocumentPacker, ExhaustionUsesNothingUp) {
  DocumentPacker packer(documents({6, 6, 6}), {.bos = bos, .max_document = 2048}, "x");
  EXPECT_FALSE(packer.next(4, 5));
  EXPECT_EQ(packer.pointer(), 0);
  EXPECT_TRUE(packer.next(3, 5));
}

TEST(DocumentPacker, Refuses) {
  EXPECT_THAT(refusal([] {
                DocumentPacker({1, 2, 3}, {}, "x.bin");
              }),
              HasSubstr("x.bin: expected a document start (token 50256), got none in 3 tokens"));
  EXPECT_THAT(refusal([] { DocumentPacker({bos}, {.bos = bos, .max_document = 0}, "x.bin"); }),
              HasSubstr("max_document: expected at least 1, got 0"));
  DocumentPacker packer(Tokens(1000, bos), {}, "x.bin");
  EXPECT_THAT(refusal([&] { packer.next(1, 0); }), HasSubstr("sequence length: expected at least"));
  EXPECT_THAT(refusal([&] { packer.next(0, 5); }), HasSubstr("ranks: expected at least 1, got 0"));
  EXPECT_THAT(
      refusal([&] { packer.next(1, 500); }),
      HasSubstr("x.bin: expected at most 127 documents in a sequence of 500 tokens, got 501"));
}

// A shard whose tokens say where they come from.
struct RandomShard {
  Tokens tokens;
  Index length, ranks;
  PackerSettings settings;
};

RandomShard random_shard() {
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  RandomShard shard;
  const Index count = random.integer(50, 3000), mean = random.integer(4, 60);
  shard.settings = {.bos = 0, .max_document = random.integer(1, 80)};
  shard.length = random.integer(1, 120);
  shard.ranks = random.integer(1, 4);
  for (Index i = 0; i < count; ++i) {
    const bool starts = random.integer(1, mean) == 1;
    shard.tokens.push_back(starts ? 0 : static_cast<std::uint16_t>(i + 1));
  }
  shard.tokens[static_cast<std::size_t>(random.integer(0, 20))] = 0;
  return shard;
}

bool may_overflow(const RandomShard& shard) { return shard.length > 126; }

// The inputs and the last target of a sequence: the length + 1 tokens that were packed.
std::vector<Index> buffer_of(const PackedSequence& sequence) {
  std::vector<Index> buffer(sequence.inputs.begin(), sequence.inputs.end());
  buffer.push_back(sequence.targets.back());
  return buffer;
}

RC_GTEST_PROP(DocumentPackerLaws, PiecesAreDocumentBeginningsEachOnce, ()) {
  const RandomShard shard = random_shard();
  RC_PRE(!may_overflow(shard));
  DocumentPacker packer(shard.tokens, shard.settings, "x");
  std::set<Index> used;
  Index document = -1;  // position in the shard where the last piece began
  while (const auto packed = packer.next(shard.ranks, shard.length)) {
    RC_ASSERT(static_cast<Index>(packed->size()) == shard.ranks);
    for (const PackedSequence& sequence : *packed) {
      const std::vector<Index> buffer = buffer_of(sequence);
      RC_ASSERT(static_cast<Index>(buffer.size()) == shard.length + 1);
      const auto& cu = sequence.cu_seqlens;
      RC_ASSERT(static_cast<Index>(cu.size()) == cu_seqlens_entries(shard.length));
      RC_ASSERT(cu.front() == 0 && cu.back() == shard.length);
      RC_ASSERT(std::is_sorted(cu.begin(), cu.end()));
      for (std::size_t i = 0; i + 1 < buffer.size(); ++i) {
        RC_ASSERT(sequence.targets[i] == buffer[i + 1]);
        // Documents start where cu_seqlens says, and nowhere else.
        const bool starts =
            std::find(cu.begin(), cu.end() - 1, static_cast<Index>(i)) != cu.end() - 1;
        RC_ASSERT(starts == (buffer[i] == 0));
      }
      // Every piece is the beginning of a document after the last one's; each token at most once.
      for (const Index token : buffer) {
        if (token == 0) {
          const auto next = std::find(shard.tokens.begin() + document + 1, shard.tokens.end(), 0);
          RC_ASSERT(next != shard.tokens.end());
          document = next - shard.tokens.begin();
          RC_ASSERT(used.insert(document).second);
        } else {
          RC_ASSERT(used.insert(token - 1).second);
          RC_ASSERT(shard.tokens[static_cast<std::size_t>(token - 1)] == token);
          RC_ASSERT(used.count(token - 2) == 1);
        }
      }
      for (std::size_t i = 0; i + 1 < cu.size(); ++i) {
        RC_ASSERT(cu[i + 1] - cu[i] <= shard.settings.max_document);
      }
    }
  }
}

RC_GTEST_PROP(DocumentPackerLaws, RanksEqualMicroBatches, ()) {
  const RandomShard shard = random_shard();
  RC_PRE(!may_overflow(shard));
  DocumentPacker together(shard.tokens, shard.settings, "x");
  DocumentPacker alone(shard.tokens, shard.settings, "x");
  while (const auto packed = together.next(shard.ranks, shard.length)) {
    for (const PackedSequence& sequence : *packed) {
      const auto single = alone.next(1, shard.length);
      RC_ASSERT(single.has_value());
      RC_ASSERT(single->front().inputs == sequence.inputs);
      RC_ASSERT(single->front().targets == sequence.targets);
      RC_ASSERT(single->front().cu_seqlens == sequence.cu_seqlens);
    }
    RC_ASSERT(alone.pointer() == together.pointer());
  }
}

TEST_F(DocumentPackerFiles, TrainingGoesThroughTheShardsOnce) {
  const fs::path a = write("a.bin", documents({6, 6, 6})), b = write("b.bin", documents({4, 9}));
  TrainingBatches batches({a, b}, vocabulary, {.bos = bos, .max_document = 2048});
  EXPECT_EQ(batches.next(2, 5)[1].inputs.size(), 5u);
  // One document of `a` is left, too few for two ranks: dropped. `b` cannot fill 2 x 5 either.
  EXPECT_THAT(refusal([&] { batches.next(2, 5); }),
              HasSubstr("b.bin: expected documents for another 2 x 5 tokens, got the end of the "
                        "last shard"));
}

TEST_F(DocumentPackerFiles, TrainingMayCycle) {
  const fs::path a = write("a.bin", documents({6, 7}));
  TrainingBatches batches({a}, vocabulary, {.bos = bos, .max_document = 2048}, true);
  const auto once = batches.next(1, 5)[0].inputs;
  batches.next(1, 5);
  EXPECT_EQ(batches.next(1, 5)[0].inputs, once);
  EXPECT_THAT(refusal([&] { batches.next(9, 5); }), HasSubstr("got none of 1 that can"));
  EXPECT_THROW(TrainingBatches({}, vocabulary, {}), InputError);
}

TEST(DocumentPacker, ValidationByHand) {  // SPEC §8 "Validation batches"
  const Tokens tokens = {5, bos, 6, 7, bos, 8, 9};
  const PackerSettings settings;
  const PackedSequence cut = validation_sequence(tokens, 0, 6, settings);
  EXPECT_THAT(cut.inputs, ElementsAre(5, bos, 6, 7, bos, 8));
  EXPECT_THAT(cut.targets, ElementsAre(bos, 6, 7, bos, 8, 9));
  EXPECT_EQ(first(cut.cu_seqlens, 5), (std::vector<Index>{0, 1, 4, 6, 6}));
  // A BOS at index 0 gives an empty first segment.
  const PackedSequence aligned = validation_sequence(tokens, 1, 4, settings);
  EXPECT_EQ(first(aligned.cu_seqlens, 5), (std::vector<Index>{0, 0, 3, 4, 4}));
  EXPECT_THROW(validation_sequence(tokens, 0, 7, settings), InputError);
  EXPECT_THROW(validation_sequence(tokens, -1, 3, settings), InputError);
  // The end of the last document needs an entry.
  EXPECT_THROW(validation_sequence(Tokens(200, bos), 0, 127, settings), InputError);
  EXPECT_EQ(validation_sequence(Tokens(200, bos), 0, 126, settings).cu_seqlens.back(), 126);
}

TEST_F(DocumentPackerFiles, ValidationStream) {
  Tokens tokens(22);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::uint16_t>(i);
  const fs::path a = write("a.bin", tokens), b = write("b.bin", Tokens(11, 9));
  ValidationBatches batches({a, b}, vocabulary, {});
  const auto call = batches.next(2, 5);
  EXPECT_THAT(call[0].inputs, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(call[1].inputs, ElementsAre(5, 6, 7, 8, 9));
  EXPECT_EQ(call[1].targets.back(), 10);
  EXPECT_THAT(batches.next(2, 5)[0].inputs, ElementsAre(10, 11, 12, 13, 14));
  EXPECT_THAT(batches.next(1, 5)[0].inputs, Each(9));  // 20 + 5 + 1 >= 22: the next file
  EXPECT_THAT(refusal([&] { batches.next(1, 5); }),
              HasSubstr("b.bin: expected another 6 tokens, got the end of the last shard"));
}

// Real text: the record's three lengths on the validation shard of ../shared/data.
TEST_F(DocumentPackerFiles, RealShard) {
  const char* shared = std::getenv("PAIREDHEAD_SHARED");
  const fs::path packed_file =
      fs::path(shared ? shared : PAIREDHEAD_SOURCE_DIR "/../shared") / "data/val_000000.bin.xz";
  if (!fs::exists(packed_file)) GTEST_SKIP() << "no " << packed_file.string();
  const fs::path file = folder_ / "val_000000.bin";
  const std::string unpack = "xz -dc '" + packed_file.string() + "' > '" + file.string() + "'";
  if (std::system(unpack.c_str()) != 0) GTEST_SKIP() << "no xz";
  const Tokens tokens = read_shard(file, vocabulary);
  EXPECT_EQ(tokens.size(), 2256821u);
  EXPECT_EQ(tokens.front(), bos);
  for (const Index length : {16384, 32768, 49152}) {
    DocumentPacker packer(tokens, {}, file.string());
    Index sequences = 0;
    while (const auto packed = packer.next(1, length)) {
      const PackedSequence& sequence = packed->front();
      EXPECT_EQ(static_cast<Index>(sequence.inputs.size()), length);
      EXPECT_EQ(sequence.cu_seqlens.back(), length);
      for (std::size_t i = 0; sequence.cu_seqlens[i] < length; ++i) {
        EXPECT_EQ(sequence.inputs[static_cast<std::size_t>(sequence.cu_seqlens[i])], bos);
        EXPECT_LE(sequence.cu_seqlens[i + 1] - sequence.cu_seqlens[i], 2048);
      }
      ++sequences;
    }
    EXPECT_GT(sequences, 2256821 / length / 3);
  }
  ValidationBatches batches({file}, vocabulary, {});
  Index starts = 0;
  for (int call = 0; call < 8; ++call) {
    const PackedSequence sequence = batches.next(1, 262144)[0];
    EXPECT_EQ(sequence.cu_seqlens.size(), 896u);
    starts += std::count(sequence.inputs.begin(), sequence.inputs.end(), bos);
  }
  EXPECT_EQ(starts, std::count(tokens.begin(), tokens.begin() + 8 * 262144, bos));
}

}  // namespace
}  // namespace pairedhead::reference
