#include "tools/train/batch_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/tools/scratch_folder.h"

namespace pairedhead::testing {
namespace {

using ::testing::HasSubstr;
using namespace reference;

TrainerSettings micro() {
  TrainerSettings settings;
  settings.config = micro_config();
  return settings;
}

void expect_equal(const std::vector<ScoredSequence>& got, const std::vector<ScoredSequence>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].packed.inputs, want[i].packed.inputs);
    EXPECT_EQ(got[i].packed.targets, want[i].packed.targets);
    EXPECT_EQ(got[i].packed.cu_seqlens, want[i].packed.cu_seqlens);
    EXPECT_EQ(got[i].surprisal, want[i].surprisal);
  }
}

TEST(BatchReader, GivesWhatTheTextGivesStepByStep) {
  const TrainerSettings settings = micro();
  TrainingData text = TrainingData::synthetic(settings.config, 1);
  BatchReader reader(text, 0, 8, settings);
  for (Index step = 0; step < 8; ++step) {
    const BatchReader::Step got = reader.next();
    expect_equal(got.sequences, step_sequences(text, step, settings));
    // Not that of what was read ahead.
    EXPECT_EQ(got.position, text.position()) << step;
  }
  EXPECT_THROW(reader.next(), std::logic_error);
}

TEST(BatchReader, GoesOnFromWhereARunStopped) {
  const TrainerSettings settings = micro();
  const TrainingData text = TrainingData::synthetic(settings.config, 1);
  BatchReader whole(text, 0, 8, settings);
  BatchPosition position;
  for (Index step = 0; step < 5; ++step) position = whole.next().position;
  TrainingData later = text;
  later.go_to(position);
  BatchReader rest(later, 5, 8, settings);
  for (Index step = 5; step < 8; ++step) {
    expect_equal(rest.next().sequences, whole.next().sequences);
  }
}

// A shard of documents of ten tokens that lasts for so many sequences of sixteen.
std::filesystem::path shard_for(Index sequences, const ScratchFolder& folder, Index bos) {
  Tokens tokens;
  for (Index i = 0; i < sequences * 20; ++i) {
    tokens.push_back(static_cast<std::uint16_t>(i % 10 == 0 ? bos : i % 10));
  }
  const std::vector<std::byte> bytes = encode_shard(tokens);
  std::ofstream(folder / "train.bin", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  return folder / "train.bin";
}

TEST(BatchReader, TheEndOfTheTextArrivesBehindTheStepsThatItFills) {
  const ScratchFolder folder;
  const TrainerSettings settings = micro();
  const auto shard = shard_for(8 + 4, folder, settings.config.bos);  // one step and a half
  const auto text = TrainingData::from_shards(settings.config, shard.string(), "", false);
  BatchReader reader(text, 0, 8, settings);
  EXPECT_EQ(reader.next().sequences.size(), 8u);
  for (int asked = 0; asked < 2; ++asked) {
    try {
      reader.next();
      ADD_FAILURE() << "expected the end of the text";
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("the end of the last shard"));
    }
  }
  // Who asks for no more than there is never hears of it.
  BatchReader modest(text, 0, 1, settings);
  EXPECT_EQ(modest.next().sequences.size(), 8u);
}

TEST(BatchReader, EndsWithoutBeingAsked) {
  const TrainerSettings settings = micro();
  for (int taken = 0; taken < 4; ++taken) {
    BatchReader reader(TrainingData::synthetic(settings.config, 1), 0, 8, settings);
    for (int i = 0; i < taken; ++i) reader.next();
  }
}

}  // namespace
}  // namespace pairedhead::testing
