#include "tools/train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "golden/hdf5_file.h"
#include "tests/refusal.h"
#include "tests/tools/scratch_folder.h"
#include "tools/train/finite_state.h"

namespace pairedhead::testing {
namespace {

using ::testing::HasSubstr;
using namespace reference;

TrainerSettings micro(Index ranks = 1) {
  TrainerSettings settings;
  settings.config = micro_config();
  settings.ranks = ranks;
  return settings;
}

const RunIdentity synthetic{"synthetic, seed 1"};

TrainerState start(const TrainerSettings& settings) {
  return start_training(settings, initial_parameters(settings.config, 1, settings.ranks));
}

std::string complaint(const std::filesystem::path& file, const TrainerSettings& settings,
                      const RunIdentity& run = synthetic) {
  return refusal([&] { read_checkpoint(file, settings, run); });
}

// Saved and read again before every step, even and odd, before and after the split: the run ends
// with the same bytes.
TEST(Checkpoint, AResumedRunIsTheSameBitForBit) {
  for (const Index ranks : {1, 2}) {
    const ScratchFolder folder;
    TrainerSettings settings = micro(ranks);
    settings.storage = ranks == 2 ? Storage::as_defined : Storage::exact;
    TrainingData data = TrainingData::synthetic(settings.config, 1);
    TrainerState whole = start(settings), pieces = whole;
    for (Index step = 0; step < 8; ++step) {
      train_step(whole, data, settings);
      write_checkpoint(folder / "pieces.h5", pieces, settings, synthetic);
      pieces = read_checkpoint(folder / "pieces.h5", settings, synthetic);
      TrainingData reopened = TrainingData::synthetic(settings.config, 1);
      reopened.go_to(pieces.position);
      train_step(pieces, reopened, settings);
      write_checkpoint(folder / "whole.h5", whole, settings, synthetic);
      write_checkpoint(folder / "pieces.h5", pieces, settings, synthetic);
      ASSERT_TRUE(text_of(folder / "whole.h5") == text_of(folder / "pieces.h5"))
          << "step " << step << ", ranks " << ranks;
    }
  }
}

class DamagedCheckpoint : public ::testing::Test {
 protected:
  DamagedCheckpoint() { write_checkpoint(file_, start(settings_), settings_, synthetic); }

  void overwrite(const std::string& bytes) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
  }

  const ScratchFolder folder_;
  const std::filesystem::path file_ = folder_ / "checkpoint.h5";
  const TrainerSettings settings_ = micro();
};

TEST_F(DamagedCheckpoint, OfAnotherConfiguration) {
  TrainerSettings other = settings_;
  other.config.schedule.scheduled = 9;
  EXPECT_THAT(complaint(file_, other), HasSubstr("configuration: expected \"micro"));
  TrainerSettings tiny = settings_;
  tiny.config = config_named("tiny");
  EXPECT_THAT(complaint(file_, tiny), HasSubstr("configuration: expected \"tiny"));
}

TEST_F(DamagedCheckpoint, OfOtherRanksStorageOrText) {
  EXPECT_THAT(complaint(file_, micro(2)), HasSubstr("ranks: expected 2, got 1"));
  TrainerSettings defined = settings_;
  defined.storage = Storage::as_defined;
  EXPECT_THAT(complaint(file_, defined), HasSubstr("storage: expected \"as defined\""));
  EXPECT_THAT(complaint(file_, settings_, {"synthetic, seed 2"}),
              HasSubstr("data: expected \"synthetic, seed 2\", got \"synthetic, seed 1\""));
}

TEST_F(DamagedCheckpoint, Truncated) {
  const std::string bytes = text_of(file_);
  for (const double share : {0.0, 0.1, 0.5, 0.999}) {
    overwrite(bytes.substr(0, static_cast<std::size_t>(share * static_cast<double>(bytes.size()))));
    EXPECT_THAT(complaint(file_, settings_), HasSubstr("expected")) << share;
  }
}

// Any flipped byte is found by a checksum, or it lies where nothing is stored.
TEST_F(DamagedCheckpoint, FailingItsChecksum) {
  const std::string bytes = text_of(file_);
  const TrainerState good = read_checkpoint(file_, settings_, synthetic);
  int found = 0;
  for (std::size_t i = 1; i <= 200; ++i) {
    std::string damaged = bytes;
    damaged[i * bytes.size() / 201] ^= 0x10;
    overwrite(damaged);
    if (complaint(file_, settings_) != "accepted") {
      ++found;
      continue;
    }
    const TrainerState state = read_checkpoint(file_, settings_, synthetic);
    for (const auto& [name, tensor] : good.parameters) {
      const auto got = state.parameters.at(name).values();
      ASSERT_TRUE(std::equal(got.begin(), got.end(), tensor.values().begin())) << name;
    }
  }
  EXPECT_GT(found, 150);
}

TEST_F(DamagedCheckpoint, NoCheckpointAtAll) {
  EXPECT_THAT(complaint(folder_ / "absent.h5", settings_), HasSubstr("expected a file"));
  {
    hdf5::Writer other(file_);
    other.attribute("/", "kind", std::string("something else"));
    other.commit();
  }
  EXPECT_THAT(complaint(file_, settings_), HasSubstr("kind: expected"));
}

TEST_F(DamagedCheckpoint, ASaveThatFailsLeavesTheOldOne) {
  const std::string before = text_of(file_);
  std::filesystem::create_directories(folder_ / "taken.h5/inside");
  EXPECT_THROW(write_checkpoint(folder_ / "taken.h5", start(settings_), settings_, synthetic),
               InputError);
  EXPECT_THROW(write_checkpoint(folder_ / "absent/c.h5", start(settings_), settings_, synthetic),
               InputError);
  EXPECT_TRUE(text_of(file_) == before);
  EXPECT_EQ(folder_.files(), 2u);  // nothing half-written is left
}

TEST_F(DamagedCheckpoint, WhatIsNotFiniteDoesNotReplaceTheLastOne) {
  const std::string before = text_of(file_);
  TrainerState state = start(settings_);
  state.step = 3;
  state.parameters.at("lm_head")[17] = NAN;
  try {
    write_checkpoint(file_, state, settings_, synthetic);
    ADD_FAILURE() << "a state that is no number was saved";
  } catch (const NonFiniteState& error) {
    EXPECT_STREQ(error.what(),
                 "step 3: parameters/lm_head[1, 1]: expected a finite value to save, got none");
  }
  EXPECT_TRUE(text_of(file_) == before);
  EXPECT_EQ(folder_.files(), 1u);
}

std::string weights_complaint(const ParameterSet<double>& weights) {
  const ScratchFolder folder;
  hdf5::Writer file(folder / "weights.h5");
  file.group("parameters");
  for (const auto& [name, tensor] : weights) {
    file.dataset("parameters/" + name, tensor, DType::fp32);
  }
  file.commit();
  return refusal([&] {
    const auto read = read_weights(folder / "weights.h5", parameter_table(micro_config()));
    EXPECT_EQ(read.size(), weights.size());
  });
}

TEST(Weights, AreWholeOrNamed) {
  const auto good = initial_parameters(micro_config(), 1);
  EXPECT_EQ(weights_complaint(good), "accepted");
  auto missing = good;
  missing.erase("c_fc.4");
  EXPECT_THAT(weights_complaint(missing),
              HasSubstr("parameters/c_fc.4: expected a tensor of shape [32, 16], got none"));
  auto misshapen = good;
  misshapen["lm_head"] = Tensor<double>({16, 64});
  EXPECT_THAT(weights_complaint(misshapen),
              HasSubstr("parameters/lm_head: expected shape [64, 16], got [16, 64]"));
  auto infinite = good;
  infinite["scalars"][3] = INFINITY;
  EXPECT_THAT(weights_complaint(infinite),
              HasSubstr("parameters/scalars[3]: expected a finite value, got inf"));
}

}  // namespace
}  // namespace pairedhead::testing
