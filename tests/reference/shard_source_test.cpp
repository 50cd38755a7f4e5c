#include "reference/shard_source.h"

#include <gtest/gtest.h>

#include "reference/document_packer.h"

namespace pairedhead::reference {
namespace {

std::shared_ptr<const ShardSource> synthetic(Index tokens) {
  return std::make_shared<SyntheticShards>(
      std::make_shared<const SyntheticGrammar>(SyntheticSettings{}, 1), 2, tokens);
}

const PackerSettings settings{511, 64};

TEST(SyntheticShards, AreRepeatableAndDiffer) {
  const auto shards = synthetic(500);
  EXPECT_EQ(shards->read(3).size(), 500u);
  EXPECT_EQ(shards->read(3), shards->read(3));
  EXPECT_NE(shards->read(3), shards->read(4));
  EXPECT_FALSE(shards->count());
}

TEST(TrainingBatches, ContinueFromTheirPosition) {
  TrainingBatches whole(synthetic(700), settings);
  for (int call = 0; call < 30; ++call) {  // over several shards
    TrainingBatches resumed(synthetic(700), settings);
    resumed.go_to(whole.position());
    EXPECT_EQ(resumed.position(), whole.position());
    const auto expected = whole.next(2, 60), got = resumed.next(2, 60);
    ASSERT_EQ(got.size(), 2u);
    for (std::size_t rank = 0; rank < 2; ++rank) {
      EXPECT_EQ(got[rank].inputs, expected[rank].inputs) << "call " << call;
      EXPECT_EQ(got[rank].cu_seqlens, expected[rank].cu_seqlens);
    }
  }
  EXPECT_GT(whole.position().shards, 3);
}

TEST(TrainingBatches, RefuseAPositionThatIsNotThere) {
  TrainingBatches batches(synthetic(700), settings);
  EXPECT_THROW(batches.go_to({1, 700}), InputError);
  EXPECT_THROW(batches.go_to({-1, 0}), InputError);
  EXPECT_THROW(TrainingBatches(synthetic(20), settings).next(1, 60), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
