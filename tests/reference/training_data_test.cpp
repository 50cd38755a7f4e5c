#include "reference/training_data.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pairedhead::reference {
namespace {

TEST(TrainingData, SyntheticTargetsCarryTheirSurprisal) {
  const Config config = config_named("tiny");
  TrainingData data = TrainingData::synthetic(config, 4);
  double sum = 0;
  Index targets = 0;
  for (int call = 0; call < 20; ++call) {
    for (const ScoredSequence& sequence : data.next(2, 64)) {
      ASSERT_EQ(sequence.surprisal.size(), 64u);
      EXPECT_EQ(sequence.packed.inputs[0], 511);
      for (const double nats : sequence.surprisal) {
        ASSERT_TRUE(std::isfinite(nats) && nats >= 0) << nats;
        sum += nats;
        ++targets;
      }
    }
  }
  // Against the surprisal that the generator recorded for another text of the same language.
  double recorded = 0;
  const auto validation = data.validation(16, 256);
  for (const ScoredSequence& sequence : validation) {
    ASSERT_EQ(sequence.surprisal.size(), 256u);
    for (const double nats : sequence.surprisal) recorded += nats;
  }
  EXPECT_NEAR(sum / static_cast<double>(targets), recorded / (16 * 256), 0.2);
}

TEST(TrainingData, ValidationIsOneStretchOfTextEveryTime) {
  const TrainingData data = TrainingData::synthetic(config_named("tiny"), 4);
  const auto once = data.validation(3, 100), again = data.validation(3, 100);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(once[i].packed.inputs, again[i].packed.inputs);
    EXPECT_EQ(once[i].surprisal, again[i].surprisal);
    if (i == 0) continue;
    EXPECT_EQ(once[i].packed.inputs[0], once[i - 1].packed.targets[99]);
  }
}

TEST(TrainingData, TheLanguageIsTheSameForEverySeed) {
  const Config config = config_named("tiny");
  const auto text = [&](std::uint64_t seed) {
    return TrainingData::synthetic(config, seed).next(1, 64)[0].packed.inputs;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
}

TEST(TrainingData, ShardsWithoutAMatchAreRefused) {
  const Config config = config_named("tiny");
  EXPECT_THROW(TrainingData::from_shards(config, "/nonexistent/*.bin", "", false), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
