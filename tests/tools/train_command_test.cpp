#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "golden/hdf5_file.h"
#include "reference/config.h"
#include "reference/parameters.h"
#include "reference/random.h"
#include "reference/shards.h"
#include "tests/tools/one_sentence.h"
#include "tests/tools/scratch_folder.h"
#include "tools/report/training_curve.h"
#include "tools/train/checkpoint.h"

namespace pairedhead::testing {
namespace {

using ::testing::HasSubstr;

std::string tiny(const std::filesystem::path& out, const std::string& more = "") {
  return "train --config tiny --data synthetic --device cpu --out '" + out.string() + "' " + more;
}

// Starts the program and returns at once.
pid_t started(const std::vector<std::string>& words, const std::filesystem::path& output) {
  const pid_t child = fork();
  if (child != 0) return child;
  if (freopen(output.c_str(), "w", stdout) == nullptr) _exit(99);
  dup2(STDOUT_FILENO, STDERR_FILENO);
  std::vector<char*> argv = {const_cast<char*>(PAIREDHEAD_BINARY)};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(PAIREDHEAD_BINARY, argv.data());
  _exit(98);
}

std::vector<std::string> saving_run(const std::filesystem::path& out) {
  return {"train", "--config", "tiny",       "--data",       "synthetic", "--device",
          "cpu",   "--out",    out.string(), "--save-every", "1"};
}

// Long enough for a first step under the sanitizers on a busy machine.
void wait_for(const std::filesystem::path& file) {
  for (int tries = 0; tries < 4800 && !std::filesystem::exists(file); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ASSERT_TRUE(std::filesystem::exists(file)) << file;
}

TEST(TrainCommand, AStoppedRunGoesOnToTheSameBytes) {
  const ScratchFolder folder;
  const Ran whole = run_program(tiny(folder / "whole", "--steps 5"));
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  EXPECT_THAT(whole.output, HasSubstr("step    4  loss "));
  EXPECT_THAT(whole.output, HasSubstr("  floor "));
  ASSERT_EQ(run_program(tiny(folder / "pieces", "--steps 2")).exit_code, 0);
  const Ran rest = run_program(tiny(folder / "pieces", "--steps 5 --resume"));
  ASSERT_EQ(rest.exit_code, 0) << rest.output;
  EXPECT_TRUE(text_of(folder / "whole/checkpoint.h5") == text_of(folder / "pieces/checkpoint.h5"));

  const TrainingCurve curve = read_training_log(folder / "pieces/log.jsonl");
  ASSERT_EQ(curve.training.size(), 5u);
  for (Index step = 0; step < 5; ++step) {
    EXPECT_EQ(curve.training[static_cast<std::size_t>(step)].step, step);
  }
  EXPECT_NEAR(curve.training[0].loss, std::log(512), 0.05);
  EXPECT_LT(curve.training[4].loss, curve.training[0].loss - 0.3);
  ASSERT_TRUE(curve.training[4].floor);
  EXPECT_THAT(text_of(folder / "pieces/report.html"), HasSubstr("id=\"loss\""));
}

TEST(TrainCommand, BadInputIsOneSentence) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  expect_bad_input("train --config huge --data synthetic --out '" + out.string() + "'",
                   "expected record, small or tiny");
  expect_bad_input("train --config tiny --data '/nonexistent/*.bin' --out '" + out.string() + "'",
                   "/nonexistent/*.bin: shards: expected");
  expect_bad_input(tiny(out, "--ranks 3"), "ranks: expected a divisor of 8");
  expect_bad_input(tiny(out, "--storage paper"), "expected exact or defined");
  expect_bad_input(tiny(out, "--validation 'x*.bin'"), "synthetic text has its own");
  expect_bad_input(tiny("/nonexistent/run"), "expected a folder that can be made");
  expect_bad_input(tiny(out, "--resume"), "expected a checkpoint to resume, got none");
  expect_bad_input(tiny(out, "--init /nonexistent.h5"), "/nonexistent.h5: expected a file");
  expect_bad_input(tiny(out, "--head bf16"), "--head: expected --device gpu, got --device cpu");
  expect_bad_input(tiny(out, "--validation-tokens 100 --validation-chunk 64"),
                   "--validation-tokens: expected a multiple of 64, got 100");
  expect_bad_input(tiny(out, "--validation-tokens 100 --validation-chunk 50"),
                   "expected a multiple of 16, got 50");
  expect_bad_input(tiny(out, "--sequence-tokens 40"),
                   "sequence length: expected a multiple of 16, got 40");
  expect_bad_input(tiny(out, "--resume --init x.h5"), "--resume excludes --init");
  expect_bad_input(tiny(out, "--save-init /nonexistent/x.h5"), "/nonexistent/x.h5: expected");

  ASSERT_EQ(run_program(tiny(out, "--steps 2")).exit_code, 0);
  const std::string saved = text_of(out / "checkpoint.h5");
  expect_bad_input(tiny(out, "--resume --steps 1"), "--steps: expected 2 or more");
  expect_bad_input(tiny(out), "expected no checkpoint without --resume");
  expect_bad_input(tiny(out, "--resume --seed 2"), "data: expected \"synthetic, seed 2\"");
  expect_bad_input("train --config small --data synthetic --resume --out '" + out.string() + "'",
                   "configuration: expected \"small");
  EXPECT_TRUE(text_of(out / "checkpoint.h5") == saved);
}

TEST(TrainCommand, ADeviceThatIsNotThereIsOneSentence) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  const std::string gpu =
      "train --config tiny --data synthetic --device gpu --out '" + out.string() + "' ";
  // Hidden from the driver, a device counts as none.
  ASSERT_EQ(setenv("CUDA_VISIBLE_DEVICES", "", 1), 0);
  const Ran ran = run_program(gpu);
  EXPECT_EQ(unsetenv("CUDA_VISIBLE_DEVICES"), 0);
  expect_sentence(ran, "--device gpu: ", 3);
  EXPECT_FALSE(std::filesystem::exists(out));
  expect_bad_input(gpu + "--storage exact", "--storage: expected --device cpu, got --device gpu");
}

// A shard of the documents "BOS 1 2 ... 9".
std::filesystem::path shard_of(Index tokens, Index bos, const std::filesystem::path& path) {
  reference::Tokens text;
  for (Index i = 0; i < tokens; ++i) {
    text.push_back(static_cast<std::uint16_t>(i % 10 == 0 ? bos : i % 10));
  }
  const std::vector<std::byte> bytes = reference::encode_shard(text);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  return path;
}

TEST(TrainCommand, ShardsThatWillNotDoAreOneSentence) {
  const ScratchFolder folder;
  const Index bos = reference::config_named("tiny").bos;
  const auto run = [&](const std::filesystem::path& shard, const std::string& more) {
    return "train --config tiny --data '" + shard.string() + "' --out '" +
           (folder / "run").string() + "' " + more;
  };
  expect_bad_input(run(shard_of(5000, 50256, folder / "gpt2.bin"), ""), "gpt2.bin");
  expect_bad_input("train --config small --data '" +
                       shard_of(5000, bos, folder / "tiny.bin").string() + "' --out '" +
                       (folder / "run").string() + "'",
                   "tiny.bin");
  std::filesystem::remove_all(folder / "run");
  // The thread that reads ahead finds the end; the run hears of it where it gets there.
  const auto shard = shard_of(8 * 70, bos, folder / "short.bin");
  const Ran ran = run_program(run(shard, ""));
  EXPECT_EQ(ran.exit_code, 2) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("step    0  loss"));
  EXPECT_THAT(ran.output, HasSubstr("the end of the last shard"));
  std::filesystem::remove_all(folder / "run");
  const Ran cycled = run_program(run(shard, "--cycle --steps 3"));
  EXPECT_EQ(cycled.exit_code, 0) << cycled.output;
}

// The smaller of the shards that lie beside the sources where the project was made.
TEST(TrainCommand, SmallTrainsOnRealTokens) {
  const char* shared = std::getenv("PAIREDHEAD_SHARED");
  const auto packed = std::filesystem::path(shared ? shared : PAIREDHEAD_SOURCE_DIR "/../shared") /
                      "data/val_000000.bin.xz";
  if (!std::filesystem::exists(packed)) GTEST_SKIP() << "needs " << packed;
  const ScratchFolder folder;
  const std::string shard = (folder / "val_000000.bin").string();
  ASSERT_EQ(std::system(("xz -dc '" + packed.string() + "' > '" + shard + "'").c_str()), 0);
  const Ran ran = run_program("train --config small --device cpu --data '" + shard + "' --out '" +
                              (folder / "run").string() +
                              "' --sequence-tokens 32 --validation-every 0 --steps 2");
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const TrainingCurve curve = read_training_log(folder / "run/log.jsonl");
  ASSERT_EQ(curve.training.size(), 2u);
  EXPECT_NEAR(curve.training[0].loss, std::log(50304), 0.1);
  EXPECT_LT(curve.training[1].loss, curve.training[0].loss);
}

TEST(TrainCommand, ASchedule) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  const std::string options =
      "--scheduled-steps 4 --extension-steps 1 --validation-every 2 --validation-tokens 256 "
      "--validation-chunk 64";
  const Ran ran = run_program(tiny(out, options));
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const TrainingCurve curve = read_training_log(out / "log.jsonl");
  EXPECT_EQ(curve.training.size(), 5u);
  ASSERT_EQ(curve.validation.size(), 4u);
  EXPECT_EQ(curve.validation[2].step, 4);
  EXPECT_EQ(curve.validation[3].step, 5);
  EXPECT_THAT(text_of(out / "log.jsonl"), HasSubstr("\"tokens_per_second\":"));
  // Another schedule is another configuration.
  expect_bad_input(tiny(out, "--resume --scheduled-steps 6"), "configuration: expected \"tiny");
}

TEST(TrainCommand, InitialParametersTravel) {
  const ScratchFolder folder;
  const std::string file = "'" + (folder / "init.h5").string() + "'";
  ASSERT_EQ(run_program(tiny(folder / "a", "--steps 1 --save-init " + file)).exit_code, 0);
  ASSERT_EQ(run_program(tiny(folder / "b", "--steps 1 --init " + file)).exit_code, 0);
  EXPECT_TRUE(text_of(folder / "a/checkpoint.h5") == text_of(folder / "b/checkpoint.h5"));
  ASSERT_EQ(run_program("train --config tiny --data synthetic --seed 2 --steps 1 --out '" +
                        (folder / "c").string() + "'")
                .exit_code,
            0);
  EXPECT_FALSE(text_of(folder / "a/checkpoint.h5") == text_of(folder / "c/checkpoint.h5"));
}

TEST(TrainCommand, ALimitOfFileSizesLosesNothing) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  ASSERT_EQ(run_program(tiny(out, "--steps 1")).exit_code, 0);
  const std::string saved = text_of(out / "checkpoint.h5");
  // No file may grow past 4 MB; a checkpoint is larger.
  const Ran ran = run_shell("ulimit -f 8000; " + program() + " " + tiny(out, "--resume --steps 2"));
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.output, HasSubstr("checkpoint.h5: "));
  EXPECT_THAT(ran.output, HasSubstr("to write it"));
  EXPECT_TRUE(text_of(out / "checkpoint.h5") == saved);
  for (const auto& entry : std::filesystem::directory_iterator(out)) {
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
  }
  EXPECT_EQ(run_program(tiny(out, "--resume --steps 2")).exit_code, 0);
}

TEST(TrainCommand, SignalsFinishTheStepAndSave) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const ScratchFolder folder;
    const auto out = folder / "run";
    auto words = saving_run(out);
    words.back() = "1000";  // only the signal makes it save
    const pid_t child = started(words, folder / "said");
    wait_for(out / "log.jsonl");
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    kill(child, signal);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 2);
    EXPECT_THAT(text_of(folder / "said"), HasSubstr(signal == SIGINT ? "SIGINT: stopped before step"
                                                                     : "SIGTERM: stopped before"));
    const auto steps = read_training_log(out / "log.jsonl").training.size();
    const Ran more = run_program(tiny(out, "--resume --steps " + std::to_string(steps + 1)));
    EXPECT_EQ(more.exit_code, 0) << more.output;
    EXPECT_THAT(more.output, HasSubstr("step " + std::string(steps < 10 ? "   " : "  ") +
                                       std::to_string(steps) + "  loss"));
  }
}

TEST(TrainCommand, KillsAtAnyMomentLeaveAGoodCheckpoint) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  Random random(1);
  for (int attempt = 0; attempt < 6; ++attempt) {
    auto words = saving_run(out);
    if (attempt > 0) words.emplace_back("--resume");
    const pid_t child = started(words, folder / "said");
    wait_for(out / "checkpoint.h5");
    std::this_thread::sleep_for(std::chrono::milliseconds(random.integer(200, 1200)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << text_of(folder / "said");
    // The last good one is whole: all of it can be read, and the run goes on from it.
    const hdf5::Reader file(out / "checkpoint.h5");
    EXPECT_NO_THROW(file.tensor("parameters/lm_head"));
  }
  const hdf5::Reader file(out / "checkpoint.h5");
  const auto next = file.integer("/", "step") + 1;
  const Ran ran = run_program(tiny(out, "--resume --steps " + std::to_string(next)));
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  for (const auto& entry : std::filesystem::directory_iterator(out)) {
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
  }
}

// In double, whatever the table stores them in.
void write_in_double(const std::filesystem::path& path,
                     const reference::ParameterSet<double>& weights) {
  hdf5::Writer file(path, hdf5::Compression::none);
  file.group("parameters");
  for (const auto& [name, tensor] : weights) {
    file.dataset("parameters/" + name, tensor, DType::fp64);
  }
  file.commit();
}

TEST(TrainCommand, WeightsThatWillNotDoAreOneSentence) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  const auto good = reference::initial_parameters(reference::config_named("tiny"), 1);
  const std::filesystem::path file = folder / "weights.h5";
  const auto expect_refused = [&](const auto& change, const std::string& sentence) {
    auto weights = good;
    change(weights);
    write_in_double(file, weights);
    expect_bad_input(tiny(out, "--init '" + file.string() + "'"),
                     "pairedhead: " + file.string() + ": parameters/" + sentence);
    EXPECT_FALSE(std::filesystem::exists(out / "checkpoint.h5"));
  };
  expect_refused([](auto& weights) { weights.erase("c_fc.3"); },
                 "c_fc.3: expected a tensor of shape [384, 96], got none");
  expect_refused(
      [](auto& weights) {
        weights["lm_head"] = Tensor<double>({96, 512});
      },
      "lm_head: expected shape [512, 96], got [96, 512]");
  expect_refused([](auto& weights) { weights.at("x0_lambdas")[2] = std::nan(""); },
                 "x0_lambdas[2]: expected a finite value, got nan");
  expect_refused([](auto& weights) { weights.at("qkvo.5")(3, 7) = -INFINITY; },
                 "qkvo.5[3, 7]: expected a finite value, got -inf");

  write_in_double(file, good);
  const Ran ran = run_program(tiny(out, "--steps 1 --init '" + file.string() + "'"));
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
}

TEST(TrainCommand, ANonFiniteLossNamesStepBatchAndCheckpoint) {
  const ScratchFolder folder;
  auto weights = reference::initial_parameters(reference::config_named("tiny"), 1);
  for (double& x : weights.at("lm_head").values()) x *= 1e306;
  write_in_double(folder / "weights.h5", weights);
  const Ran ran =
      run_program(tiny(folder / "run", "--init '" + (folder / "weights.h5").string() + "'"));
  EXPECT_EQ(ran.exit_code, 1) << ran.output;
  // Weights of 1e304 hide behind norms and the softcap until the optimizers square their gradients.
  EXPECT_THAT(ran.output, ::testing::ContainsRegex("step [0-9]+, batch [0-9]: expected a finite "
                                                   "loss, got none; there is no checkpoint yet"));
}

// A checkpoint whose weights are finite, but will not be long: what comes of it never replaces it.
TEST(TrainCommand, AStateThatIsNotFiniteLeavesTheLastCheckpoint) {
  const ScratchFolder folder;
  const auto file = folder / "run/checkpoint.h5";
  ASSERT_EQ(run_program(tiny(folder / "run", "--steps 1")).exit_code, 0);
  reference::TrainerSettings settings;
  settings.config = reference::config_named("tiny");
  const RunIdentity run{"synthetic, seed 1"};
  reference::TrainerState state = read_checkpoint(file, settings, run);
  for (double& x : state.parameters.at("lm_head").values()) x *= 1e306;
  write_checkpoint(file, state, settings, run);
  const std::string saved = text_of(file);
  const Ran ran = run_program(tiny(folder / "run", "--resume --save-every 1"));
  EXPECT_EQ(ran.exit_code, 1) << ran.output;
  EXPECT_THAT(ran.output, ::testing::ContainsRegex("pairedhead: step [0-9]+.*expected a finite "
                                                   ".*; the last checkpoint is .*/run/checkpoint.h5"
                                                   ", before step 1\n"));
  EXPECT_TRUE(text_of(file) == saved);
}

TEST(TrainCommand, ADamagedCheckpointIsOneSentence) {
  const ScratchFolder folder;
  const auto out = folder / "run";
  const auto file = out / "checkpoint.h5";
  ASSERT_EQ(run_program(tiny(out, "--steps 1")).exit_code, 0);
  const std::string good = text_of(file), log = text_of(out / "log.jsonl");
  std::string damaged = good;
  damaged[good.size() / 2] ^= 1;
  for (const std::string& bytes : {std::string(), good.substr(0, good.size() / 2), damaged}) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    expect_bad_input(tiny(out, "--resume"), "checkpoint.h5: ");
    EXPECT_TRUE(text_of(file) == bytes);
    EXPECT_TRUE(text_of(out / "log.jsonl") == log);
  }
}

// Targets that are the inputs are the simplest way to see the future.
TEST(TrainCommand, AModelThatSeesTheFutureIsStopped) {
  const ScratchFolder folder;
  const Ran ran = run_shell(std::string("'") + PAIREDHEAD_BINARY +
                            "-mutants' --plant targets_unshifted " + tiny(folder / "run"));
  EXPECT_EQ(ran.exit_code, 1) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("the model sees the future"));
  EXPECT_THAT(text_of(folder / "run/report.html"), HasSubstr("The model sees the future"));
}

}  // namespace
}  // namespace pairedhead::testing
