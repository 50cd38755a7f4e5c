#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <thread>

#include "golden/hdf5_file.h"
#include "gpu/trainer.h"
#include "reference/error.h"
#include "tests/gpu/device_fixture.h"
#include "tests/tools/scratch_folder.h"
#include "tools/report/training_curve.h"
#include "tools/train/checkpoint.h"
#include "tools/train/train.h"
#include "tools/train/training_device.h"

namespace pairedhead::gpu {
namespace {

using pairedhead::testing::ScratchFolder;
using pairedhead::testing::text_of;
using ::testing::HasSubstr;

class CudaTrainer : public DeviceFixture {
 protected:
  // All three phases and the extension in twenty steps; embed is split off after step 11.
  TrainOptions twenty_steps(const std::string& folder) const {
    TrainOptions options;
    options.settings.config = reference::config_named("tiny");
    options.settings.config.schedule.scheduled = 15;
    options.settings.config.schedule.extension = 5;
    reference::set_validation(options.settings);
    options.device = TrainOn::gpu;
    options.data = "synthetic";
    options.out = folder_ / folder;
    return options;
  }

  // A tiny model whose every path is open and whose logits are of order one, as a file for --init.
  std::filesystem::path random_weights(double size_of_c_fc = 1) const {
    const reference::Config config = reference::config_named("tiny");
    const auto table = reference::parameter_table(config);
    reference::ParameterSet<double> parameters = initial_parameters(config, 1);
    Random random(2);
    for (const reference::ParameterInfo& info : table) {
      if (info.dtype != DType::bf16 || info.name == "embed") continue;
      const double size = info.name == "lm_head"           ? 20
                          : info.name.starts_with("c_fc.") ? size_of_c_fc
                                                           : 1;
      for (double& x : parameters.at(info.name).values()) {
        x = round_to(DType::bf16, size * (x != 0 ? x : 0.1 * random.normal()));
      }
    }
    write_weights(folder_ / "weights.h5", parameters, table);
    return folder_ / "weights.h5";
  }

  std::string checkpoint(const std::string& folder) const {
    return text_of(folder_ / folder / "checkpoint.h5");
  }

  const ScratchFolder folder_;
};

TEST_F(CudaTrainer, TwoRunsOfTwentyStepsGiveEqualBits) {
  for (const bool fp8 : {true, false}) {
    const std::string head = fp8 ? "fp8" : "bf16";
    for (const char* name : {" first", " second"}) {
      TrainOptions options = twenty_steps(head + name);
      options.fp8_head = fp8;
      ASSERT_EQ(train(options), 0);
    }
    EXPECT_TRUE(checkpoint(head + " first") == checkpoint(head + " second")) << head;
  }
  EXPECT_FALSE(checkpoint("fp8 first") == checkpoint("bf16 first"));
}

// Interrupted behind even and odd steps, before and behind the split, and on a step that lengthens
// the window.
TEST_F(CudaTrainer, AnInterruptedRunGoesOnToEqualBits) {
  ASSERT_EQ(train(twenty_steps("whole")), 0);
  TrainOptions options = twenty_steps("pieces");
  for (const Index steps : {3, 4, 5, 11, 12, 17, 20}) {
    options.steps = steps;
    ASSERT_EQ(train(options), 0) << steps;
    options.resume = true;
  }
  EXPECT_TRUE(checkpoint("whole") == checkpoint("pieces"));
}

TEST_F(CudaTrainer, TheLossFallsAndNeverBelowTheText) {
  TrainOptions options = twenty_steps("run");
  options.settings.config = reference::config_named("tiny");
  ASSERT_EQ(train(options), 0);
  const TrainingCurve curve = read_training_log(folder_ / "run/log.jsonl");
  ASSERT_EQ(curve.training.size(), 64u);
  EXPECT_NEAR(curve.training.front().loss, std::log(512), 0.05);
  for (std::size_t i = 1; i < curve.validation.size(); ++i) {
    EXPECT_LT(curve.validation[i].loss, curve.validation[i - 1].loss);
  }
  const TrainingCurve::Point& last = curve.validation.back();
  ASSERT_TRUE(last.floor);
  EXPECT_GT(last.loss, *last.floor);
  // Half of what there is to learn.
  EXPECT_LT(last.loss - *last.floor, 0.5 * (curve.validation.front().loss - *last.floor));
}

// The mean over 4096 targets, within what the reference's own mean varies by when it rounds where
// the record does.
TEST_F(CudaTrainer, ValidatesAsTheReferenceDoes) {
  constexpr int draws = 16;
  reference::TrainerSettings settings = twenty_steps("").settings;
  const auto parameters =
      read_weights(random_weights(), reference::parameter_table(settings.config));
  const auto data = reference::TrainingData::synthetic(settings.config, 1);
  const auto sequences = data.validation(settings.validation_sequences, settings.validation_length);
  const auto loss_on = [&](TrainingDevice& device) {
    device.start(parameters);
    return score_validation(0, device.validation_losses(sequences), sequences).loss;
  };
  const double exact = loss_on(*make_reference_device(settings));
  double squares = 0;
  for (int draw = 1; draw <= draws; ++draw) {
    settings.rounding = Rounding::stochastic(static_cast<std::uint64_t>(draw));
    const double deviation = loss_on(*make_reference_device(settings)) - exact;
    squares += deviation * deviation / draws;
  }
  const double got = loss_on(*make_gpu_device(settings, true));
  EXPECT_LE(std::abs(got - exact), 8 * std::sqrt(squares)) << "got " << got << ", wanted " << exact;
  EXPECT_GT(std::abs(exact - std::log(512)), 0.05);  // these weights say something
}

TEST_F(CudaTrainer, SignalsFinishTheStepAndSave) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string name = signal == SIGINT ? "interrupt" : "terminate";
    TrainOptions options = twenty_steps(name);
    options.settings.config.schedule.scheduled = 100000;  // only the signal ends it
    options.settings.validation_every = 0;
    std::thread sender([&] {
      const auto log = options.out / "log.jsonl";
      while (!std::filesystem::exists(log) || text_of(log).size() < 1000) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      kill(getpid(), signal);
    });
    EXPECT_EQ(train(options), 2);
    sender.join();
    const auto taken =
        static_cast<Index>(read_training_log(options.out / "log.jsonl").training.size());
    EXPECT_EQ(hdf5::Reader(options.out / "checkpoint.h5").integer("/", "step"),
              static_cast<std::uint64_t>(taken));
    options.resume = true;
    options.steps = taken + 3;
    EXPECT_EQ(train(options), 0);
    TrainOptions whole = options;
    whole.out = folder_ / (name + " whole");
    whole.resume = false;
    EXPECT_EQ(train(whole), 0);
    EXPECT_TRUE(checkpoint(name) == checkpoint(name + " whole"));
  }
}

TEST_F(CudaTrainer, ANonFiniteLossNamesStepAndBatch) {
  TrainOptions options = twenty_steps("run");
  options.init = random_weights(1e20);  // their squares are infinite, the sums none
  ::testing::internal::CaptureStderr();
  options.settings.validation_every = 0;
  EXPECT_EQ(train(options), 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("step 0, batch 0: expected a finite loss, got none; there is no checkpoint "
                        "yet"));
}

TEST_F(CudaTrainer, ACheckpointOfAnotherRunIsRefused) {
  TrainOptions options = twenty_steps("run");
  options.steps = 2;
  ASSERT_EQ(train(options), 0);
  const std::string saved = checkpoint("run");
  options.resume = true;
  const auto complaint = [](const TrainOptions& other) -> std::string {
    try {
      train(other);
      return "";
    } catch (const InputError& error) {
      return error.what();
    }
  };
  TrainOptions other = options;
  other.fp8_head = false;
  EXPECT_THAT(complaint(other), HasSubstr("head: expected \"bf16\", got \"fp8\""));
  other = options;
  other.settings.config.schedule.scheduled = 16;
  EXPECT_THAT(complaint(other), HasSubstr("configuration: expected \"tiny"));
  other = options;
  other.device = TrainOn::cpu;
  EXPECT_THAT(complaint(other), HasSubstr("kind: expected \"pairedhead checkpoint 1\""));
  EXPECT_TRUE(checkpoint("run") == saved);
}

TEST_F(CudaTrainer, SequencesOfAnotherLengthAreRefused) {
  TrainOptions options = twenty_steps("run");
  options.settings.validation_length = 100;
  EXPECT_THROW(train(options), InputError);
  options = twenty_steps("run");
  options.settings.config.schedule.sequence[1] = 120;
  EXPECT_THROW(train(options), InputError);
}

TEST_F(CudaTrainer, TooLittleMemoryIsOneSentence) {
  std::vector<DeviceMemory> taken;
  for (std::size_t bytes = std::size_t{1} << 36; bytes >= std::size_t{1} << 20;) {
    try {
      taken.emplace_back(bytes);
    } catch (const CudaError&) {
      cudaGetLastError();  // the failure is not the next call's
      bytes /= 2;
    }
  }
  try {
    make_gpu_device(twenty_steps("").settings, true);
    ADD_FAILURE() << "expected too little memory";
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(), ::testing::ContainsRegex("needs [0-9]+ MiB on the device"));
  }
}

}  // namespace
}  // namespace pairedhead::gpu
