#include "tools/train/device_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "reference/parameters.h"
#include "reference/random.h"
#include "tests/refusal.h"
#include "tests/tools/scratch_folder.h"
#include "tools/train/checkpoint.h"
#include "tools/train/finite_state.h"

namespace pairedhead::testing {
namespace {

using ::testing::HasSubstr;
using namespace reference;

// A trainer's state in host memory, filled with any bits of finite numbers.
class State {
 public:
  explicit State(std::uint64_t seed) {
    for (const ParameterInfo& info : parameter_table(micro_config())) {
      add("parameters/" + info.name, info.dtype, info.shape);
      if (info.optimizer == Optimizer::normuon) {
        add("normuon/" + info.name + "/moment", DType::fp32, info.shape);
        add("normuon/" + info.name + "/mantissa", DType::uint16, info.shape);
      } else {
        add("adam/" + info.name + "/first", DType::bf16, info.shape);
        add("pending/" + info.name, DType::fp32, info.shape);
      }
    }
    Random random(seed);
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      auto& elements = memory_[i];
      for (std::byte& byte : elements) byte = static_cast<std::byte>(random.integer(0, 255));
      const std::size_t size = size_of(tensors_[i].dtype);
      if (tensors_[i].dtype != DType::uint16) {  // the exponent's first bit lies in the last byte
        for (std::size_t at = size - 1; at < elements.size(); at += size) {
          elements[at] &= std::byte{0xbf};
        }
      }
      tensors_[i].data = elements.data();
    }
  }

  const std::vector<gpu::StateTensor>& tensors() const { return tensors_; }
  // Of the parameters: values instead of bits.
  void set_parameters(const ParameterSet<double>& parameters) {
    for (const gpu::StateTensor& tensor : tensors_) {
      if (!tensor.name.starts_with("parameters/")) continue;
      const Array array = to_array(parameters.at(tensor.name.substr(11)), tensor.dtype);
      std::memcpy(tensor.data, array.bytes.data(), array.bytes.size());
    }
  }
  void set_bits(const std::string& name, std::size_t byte, std::uint16_t bits) {
    for (const gpu::StateTensor& tensor : tensors_) {
      if (tensor.name == name) std::memcpy(static_cast<char*>(tensor.data) + byte, &bits, 2);
    }
  }
  bool operator==(const State& other) const { return memory_ == other.memory_; }

 private:
  void add(std::string name, DType dtype, const Shape& shape) {
    memory_.emplace_back(static_cast<std::size_t>(element_count(shape)) * size_of(dtype));
    tensors_.push_back({std::move(name), dtype, shape, nullptr});
  }

  std::vector<gpu::StateTensor> tensors_;
  std::vector<std::vector<std::byte>> memory_;
};

std::size_t bytes_of(const gpu::StateTensor& tensor) {
  return static_cast<std::size_t>(element_count(tensor.shape)) * size_of(tensor.dtype);
}
void download(const gpu::StateTensor& tensor, void* to) {
  std::memcpy(to, tensor.data, bytes_of(tensor));
}
void upload(const gpu::StateTensor& tensor, const void* from) {
  std::memcpy(tensor.data, from, bytes_of(tensor));
}

RunWords words(const Config& config = micro_config(), const std::string& data = "synthetic, seed 1",
               const std::string& head = "fp8") {
  RunWords words = run_words("pairedhead device checkpoint 1", config, {data});
  words.emplace_back("head", head);
  return words;
}

gpu::TrainerProgress some_progress() {
  return {.step = 7,
          .frequency = std::vector<float>(static_cast<std::size_t>(micro_config().head_dim), 0.1f),
          .softmax_scale = 0.1169,
          .long_blocks = 5,
          .split = true,
          .updates = {{"lm_head", 3}, {"scalars", 3}}};
}
const BatchPosition some_position{2, 13};

class DeviceCheckpointFile : public ::testing::Test {
 protected:
  DeviceCheckpointFile() { write(state_); }

  void write(const State& state) {
    write_device_checkpoint(file_, words(), some_progress(), some_position, state.tensors(),
                            download);
  }
  DeviceCheckpoint read(State& state, const RunWords& run = words()) const {
    return read_device_checkpoint(file_, run, micro_config().head_dim, state.tensors(), upload);
  }
  std::string complaint(const RunWords& run = words()) const {
    State state(2);
    return refusal([&] { read(state, run); });
  }

  const ScratchFolder folder_;
  const std::filesystem::path file_ = folder_ / "checkpoint.h5";
  State state_{1};
};

TEST_F(DeviceCheckpointFile, KeepsEveryBit) {
  State other(2);
  ASSERT_FALSE(other == state_);
  const DeviceCheckpoint got = read(other);
  EXPECT_TRUE(other == state_);
  const gpu::TrainerProgress want = some_progress();
  EXPECT_EQ(got.position, some_position);
  EXPECT_EQ(got.progress.step, want.step);
  EXPECT_EQ(got.progress.frequency, want.frequency);
  EXPECT_EQ(got.progress.softmax_scale, want.softmax_scale);
  EXPECT_EQ(got.progress.long_blocks, want.long_blocks);
  EXPECT_EQ(got.progress.split, want.split);
  EXPECT_EQ(got.progress.updates, want.updates);
  const std::string bytes = text_of(file_);
  write(other);
  EXPECT_TRUE(text_of(file_) == bytes);
}

TEST_F(DeviceCheckpointFile, StoresBf16AsItsBitsUnderItsName) {
  const hdf5::Reader file(file_);
  EXPECT_EQ(file.dtype("parameters/lm_head"), DType::bf16);
  EXPECT_EQ(file.text("parameters/lm_head", "dtype"), "bf16");
  EXPECT_EQ(file.integer("adam/scalars", "updates"), 3u);
  EXPECT_FALSE(file.has_attribute("adam/embed", "updates"));
}

// Initial parameters for another run, on any device.
TEST_F(DeviceCheckpointFile, ServesAsInitialParameters) {
  const auto parameters = initial_parameters(micro_config(), 3);
  state_.set_parameters(parameters);
  write(state_);
  const auto got = read_weights(file_, parameter_table(micro_config()));
  for (const auto& [name, tensor] : parameters) {
    const auto values = got.at(name).values();
    EXPECT_TRUE(std::equal(values.begin(), values.end(), tensor.values().begin())) << name;
  }
}

TEST_F(DeviceCheckpointFile, OfAnotherRunIsRefused) {
  EXPECT_EQ(complaint(), "accepted");
  Config longer = micro_config();
  longer.schedule.scheduled = 9;
  EXPECT_THAT(complaint(words(longer)), HasSubstr("configuration: expected \"micro"));
  EXPECT_THAT(complaint(words(config_named("tiny"))), HasSubstr("configuration: expected \"tiny"));
  EXPECT_THAT(complaint(words(micro_config(), "train_*.bin")),
              HasSubstr("data: expected \"train_*.bin\", got \"synthetic, seed 1\""));
  EXPECT_THAT(complaint(words(micro_config(), "synthetic, seed 1", "bf16")),
              HasSubstr("head: expected \"bf16\", got \"fp8\""));
}

TEST_F(DeviceCheckpointFile, OfTheReferenceIsRefused) {
  TrainerSettings settings;
  settings.config = micro_config();
  write_checkpoint(file_, start_training(settings, initial_parameters(settings.config, 1)),
                   settings, {"synthetic, seed 1"});
  EXPECT_THAT(complaint(), HasSubstr("kind: expected \"pairedhead device checkpoint 1\""));
}

TEST_F(DeviceCheckpointFile, TruncatedIsRefused) {
  const std::string bytes = text_of(file_);
  for (const double share : {0.0, 0.1, 0.5, 0.999}) {
    const auto kept = static_cast<std::size_t>(share * static_cast<double>(bytes.size()));
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes.substr(0, kept);
    EXPECT_THAT(complaint(), HasSubstr("expected")) << share;
  }
}

// Any flipped byte is found by a checksum, or it lies where nothing is stored.
TEST_F(DeviceCheckpointFile, DamageIsFound) {
  const std::string bytes = text_of(file_);
  int found = 0;
  for (std::size_t i = 1; i <= 200; ++i) {
    std::string damaged = bytes;
    damaged[i * bytes.size() / 201] ^= 0x10;
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << damaged;
    if (complaint() != "accepted") {
      ++found;
      continue;
    }
    State state(2);
    read(state);
    ASSERT_TRUE(state == state_) << "byte " << i * bytes.size() / 201;
  }
  EXPECT_GT(found, 150);
}

TEST_F(DeviceCheckpointFile, WhatIsNotFiniteDoesNotReplaceTheLastOne) {
  const std::string before = text_of(file_);
  const auto refusal = [&](const State& state) -> std::string {
    try {
      write(state);
      return "";
    } catch (const NonFiniteState& error) {
      return error.what();
    }
  };
  State other(2);
  other.set_bits("parameters/attn_gate_bank", 2 * 3, 0x7f80);  // infinity in bf16
  EXPECT_THAT(refusal(other), HasSubstr("step 7: parameters/attn_gate_bank["));
  EXPECT_THAT(refusal(other), HasSubstr("3]: expected a finite value to save"));
  other = State(2);
  other.set_bits("normuon/c_fc.0/moment", 4 * 5 + 2, 0xffc0);  // NaN in fp32
  EXPECT_THAT(refusal(other), HasSubstr("normuon/c_fc.0/moment[0, 5]"));
  other = State(2);
  other.set_bits("normuon/c_fc.0/mantissa", 0, 0x7f80);  // no number with an exponent
  EXPECT_EQ(refusal(other), "");
  write(state_);
  EXPECT_TRUE(text_of(file_) == before);
  EXPECT_EQ(folder_.files(), 1u);
}

TEST_F(DeviceCheckpointFile, ASaveThatFailsLeavesTheOldOne) {
  const std::string before = text_of(file_);
  const auto failing = [](const gpu::StateTensor&, void*) { throw std::runtime_error("device"); };
  EXPECT_THROW(write_device_checkpoint(file_, words(), some_progress(), some_position,
                                       state_.tensors(), failing),
               std::runtime_error);
  EXPECT_TRUE(text_of(file_) == before);
  EXPECT_EQ(folder_.files(), 1u);  // nothing half-written is left
}

}  // namespace
}  // namespace pairedhead::testing
