#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/trainer.h"
#include "reference/training_data.h"
#include "tests/gpu/device_fixture.h"
#include "tests/gpu/local_communicator.h"
#include "tools/train/training_device.h"

namespace pairedhead::gpu {
namespace {

using reference::PackedSequence;
using Bytes = std::vector<std::byte>;

constexpr std::uint64_t seed = 3;
constexpr int validation_tokens = 96;
constexpr Index validation_sequences = 5;  // shared unevenly

// Tiny with all three phases, the split and the extension within eight steps.
reference::Config short_tiny() {
  reference::Config config = reference::config_named("tiny");
  config.schedule.scheduled = 6;
  config.schedule.extension = 2;
  config.schedule.momentum_warm_up = 4;
  config.schedule.momentum_cool_down = 2;
  return config;
}
constexpr Index steps = 8;

TrainerSettings settings_of(HeadForm head, bool graphs = true) {
  return {.config = short_tiny(),
          .head = head,
          .validation_tokens = validation_tokens,
          .graphs = graphs};
}

std::vector<PackedSequence> packed(const std::vector<reference::ScoredSequence>& sequences) {
  std::vector<PackedSequence> packed;
  for (const auto& sequence : sequences) packed.push_back(sequence.packed);
  return packed;
}

// What every step trains on, whoever takes it.
std::vector<std::vector<PackedSequence>> text() {
  const reference::Config config = short_tiny();
  auto data = reference::TrainingData::synthetic(config, seed);
  std::vector<std::vector<PackedSequence>> text(steps);
  for (Index step = 0; step < steps; ++step) {
    for (Index i = 0; i < config.schedule.micro_batches; ++i) {
      const auto next = packed(data.next(1, sequence_length(step, config.schedule)));
      text[static_cast<std::size_t>(step)].push_back(next[0]);
    }
  }
  return text;
}

// All that a checkpoint would hold.
struct State {
  TrainerProgress progress;
  std::map<std::string, Bytes> tensors;
};

State first_state() {
  State state;
  const reference::Config config = short_tiny();
  const auto parameters = reference::initial_parameters(config, seed);
  for (const reference::ParameterInfo& info : reference::parameter_table(config)) {
    const Tensor<double>& tensor = parameters.at(info.name);
    Bytes& bytes = state.tensors["parameters/" + info.name];
    for (Index i = 0; i < tensor.size(); ++i) {
      const auto value = static_cast<float>(tensor[i]);
      const std::uint16_t half = emulated::to_bf16(value);
      const auto* const stored = info.dtype == DType::bf16
                                     ? reinterpret_cast<const std::byte*>(&half)
                                     : reinterpret_cast<const std::byte*>(&value);
      bytes.insert(bytes.end(), stored, stored + (info.dtype == DType::bf16 ? 2 : 4));
    }
  }
  return state;
}

struct Outcome {
  std::vector<double> losses;  // of each step the objective, then the next token's
  std::vector<float> validation;
  State state;
};

// Goes on from `from` to before the step `end`, on so many ranks, which must all say the same.
Outcome train(int ranks, const State& from, Index end, HeadForm head = HeadForm::bf16,
              bool graphs = true) {
  const auto batches = text();
  const auto validation = packed(reference::TrainingData::synthetic(short_tiny(), seed)
                                     .validation(validation_sequences, validation_tokens));
  Outcome run;
  std::mutex mutex;
  LocalWorld(ranks).run([&](Communicator& communicator) {
    Trainer trainer(settings_of(head, graphs), communicator);
    for (const StateTensor& tensor : trainer.state()) {
      const auto found = from.tensors.find(tensor.name);
      if (found != from.tensors.end()) trainer.upload(tensor, found->second.data());
    }
    if (!from.progress.frequency.empty()) trainer.resume(from.progress);
    std::vector<double> losses;
    while (trainer.progress().step < end) {
      const auto step = static_cast<std::size_t>(trainer.progress().step);
      const TrainerLosses loss = trainer.train_step(batches[step]);
      losses.insert(losses.end(), {loss.objective, loss.next_token});
    }
    const std::vector<float> validated = trainer.validate(validation);
    std::map<std::string, Bytes> tensors;
    for (const StateTensor& tensor : trainer.state()) {
      Bytes bytes(communicator.rank() == 0 ? tensor.bytes() : 0);
      trainer.download(tensor, bytes.data());
      tensors.emplace(tensor.name, std::move(bytes));
    }
    const std::lock_guard lock(mutex);
    if (run.losses.empty()) {
      run.losses = losses;
      run.validation = validated;
    }
    EXPECT_EQ(losses, run.losses) << "rank " << communicator.rank();
    EXPECT_EQ(validated, run.validation) << "rank " << communicator.rank();
    if (communicator.rank() == 0) run.state = {trainer.progress(), std::move(tensors)};
  });
  return run;
}

void expect_same(const Outcome& run, const Outcome& expected) {
  const std::size_t behind = expected.losses.size() - run.losses.size();
  EXPECT_EQ(run.losses,
            std::vector<double>(expected.losses.begin() + static_cast<std::ptrdiff_t>(behind),
                                expected.losses.end()));
  EXPECT_EQ(run.validation, expected.validation);
  EXPECT_EQ(run.state.progress.updates, expected.state.progress.updates);
  ASSERT_EQ(run.state.tensors.size(), expected.state.tensors.size());
  for (const auto& [name, bytes] : expected.state.tensors) {
    EXPECT_TRUE(run.state.tensors.at(name) == bytes) << name << " differs";
  }
}

class CudaRanks : public DeviceFixture {};

TEST_F(CudaRanks, AnyNumberTrainsToTheSameBits) {
  const Outcome one = train(1, first_state(), steps);
  for (const double loss : one.losses) ASSERT_TRUE(std::isfinite(loss));
  ASSERT_NE(one.state.tensors.at("parameters/lm_head"),
            first_state().tensors.at("parameters/lm_head"));
  ASSERT_NE(one.state.tensors.at("parameters/qkvo.0"),
            first_state().tensors.at("parameters/qkvo.0"));
  for (const int ranks : {2, 4, 8}) {
    SCOPED_TRACE(std::to_string(ranks) + " ranks");
    expect_same(train(ranks, first_state(), steps), one);
  }
}

// A phase has two steps: of the second every micro-batch is a graph.
TEST_F(CudaRanks, TrainToTheSameBitsWithoutGraphs) {
  for (const HeadForm head : {HeadForm::bf16, HeadForm::fp8}) {
    for (const int ranks : {1, 2}) {
      SCOPED_TRACE(std::to_string(ranks) + " ranks");
      expect_same(train(ranks, first_state(), steps, head, false),
                  train(ranks, first_state(), steps, head, true));
    }
  }
}

// After step 4, whose gradients Adam has kept; the split is still to come.
TEST_F(CudaRanks, AnyNumberGoesOnWhereAnotherStopped) {
  const Outcome whole = train(1, first_state(), steps);
  for (const auto& [before, after] :
       {std::pair(1, 8), std::pair(8, 2), std::pair(2, 4), std::pair(4, 1)}) {
    SCOPED_TRACE(std::to_string(before) + " ranks, then " + std::to_string(after));
    const Outcome begun = train(before, first_state(), 5);
    expect_same(train(after, begun.state, steps), whole);
  }
}

// Its gradients depend on the number of ranks (SPEC §9.1); what it says of the first step does not.
TEST_F(CudaRanks, TrainWithTheHeadInFp8) {
  const Outcome one = train(1, first_state(), 1, HeadForm::fp8);
  const Outcome two = train(2, first_state(), 1, HeadForm::fp8);
  EXPECT_EQ(two.losses, one.losses);
  EXPECT_TRUE(std::isfinite(one.losses[0]));
}

TEST_F(CudaRanks, AllStopAtALossThatIsNoNumber) {
  State state = first_state();
  const float none = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(state.tensors.at("parameters/scalars").data(), &none, sizeof none);
  for (const int ranks : {1, 4}) {
    EXPECT_THROW(train(ranks, state, 1), NonFiniteLoss);
  }
}

// Before any device is asked for.
TEST(CudaRanksEnvironment, IsReadByTheTrainer) {
  reference::TrainerSettings settings;
  settings.config = short_tiny();
  setenv("WORLD_SIZE", "2", 1);
  setenv("RANK", "2", 1);
  EXPECT_THROW(make_gpu_device(settings, true), InputError);
  unsetenv("WORLD_SIZE");
  unsetenv("RANK");
}

TEST_F(CudaRanks, RefuseANumberThatTheMicroBatchesDoNotDivideBy) {
  try {
    LocalWorld(3).run([](Communicator& ranks) { Trainer(settings_of(HeadForm::bf16), ranks); });
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "trainer: expected 1, 2, 4 or 8 ranks, got 3");
  }
}

}  // namespace
}  // namespace pairedhead::gpu
