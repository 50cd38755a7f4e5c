#include <algorithm>
#include <utility>

#include "gpu/comm/open_ranks.h"
#include "gpu/device.h"
#include "gpu/trainer.h"
#include "tools/train/device_checkpoint.h"
#include "tools/train/training_device.h"

namespace pairedhead {
namespace {

using reference::BatchPosition;
using reference::PackedSequence;
using reference::ScoredSequence;

// Dense bf16 of an H100 or H200 as it is sold (SXM), the fp8 head's products counted at the same.
constexpr double hopper_flops = 989e12;

gpu::TrainerSettings device_settings(const reference::TrainerSettings& settings, bool fp8_head) {
  return {.config = settings.config,
          .head = fp8_head ? gpu::HeadForm::fp8 : gpu::HeadForm::bf16,
          .validation_tokens =
              settings.validation_every > 0 ? static_cast<int>(settings.validation_length) : 0};
}

std::vector<PackedSequence> packed(const std::vector<ScoredSequence>& sequences) {
  std::vector<PackedSequence> packed;
  for (const ScoredSequence& sequence : sequences) packed.push_back(sequence.packed);
  return packed;
}

// The bits of a parameter as the device stores it.
std::vector<std::byte> stored(const Tensor<double>& tensor, DType dtype) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.size()) * size_of(dtype));
  auto* const halves = reinterpret_cast<std::uint16_t*>(bytes.data());
  auto* const floats = reinterpret_cast<float*>(bytes.data());
#pragma omp parallel for
  for (Index i = 0; i < tensor.size(); ++i) {
    if (dtype == DType::bf16) {
      halves[i] = to_bf16_bits(tensor[i]);
    } else {
      floats[i] = static_cast<float>(tensor[i]);
    }
  }
  return bytes;
}

class GpuTrainingDevice final : public TrainingDevice {
 public:
  GpuTrainingDevice(const reference::TrainerSettings& settings, bool fp8_head,
                    const gpu::RankEnvironment& environment)
      : config_(settings.config),
        fp8_head_(fp8_head),
        name_(gpu::require_device(environment.local_rank).name),
        ranks_(gpu::open_ranks(environment)),
        bytes_(gpu::Trainer::bytes(device_settings(settings, fp8_head), *ranks_)),
        trainer_(device_settings(settings, fp8_head), *ranks_) {}

  bool leads() const override { return ranks_->rank() == 0; }
  bool any(bool mine) override { return ranks_->any(mine); }

  void start(reference::ParameterSet<double> parameters) override {
    check_parameters("initial parameters", parameters, reference::parameter_table(config_));
    const std::string prefix = "parameters/";
    for (const gpu::StateTensor& tensor : trainer_.state()) {
      if (!tensor.name.starts_with(prefix)) continue;
      const auto found = parameters.find(tensor.name.substr(prefix.size()));
      trainer_.upload(tensor, stored(found->second, tensor.dtype).data());
      parameters.erase(found);
    }
  }

  void save(const std::filesystem::path& path, const RunIdentity& run,
            const BatchPosition& position) override {
    if (!leads()) {  // gives what it owns to the one that does
      for (const gpu::StateTensor& tensor : trainer_.state()) trainer_.download(tensor, nullptr);
      return;
    }
    write_device_checkpoint(path, words_of(run), trainer_.progress(), position, trainer_.state(),
                            [this](const gpu::StateTensor& tensor, void* elements) {
                              trainer_.download(tensor, elements);
                            });
  }
  BatchPosition load(const std::filesystem::path& path, const RunIdentity& run) override {
    const DeviceCheckpoint checkpoint =
        read_device_checkpoint(path, words_of(run), config_.head_dim, trainer_.state(),
                               [this](const gpu::StateTensor& tensor, const void* elements) {
                                 trainer_.upload(tensor, elements);
                               });
    trainer_.resume(checkpoint.progress);
    return checkpoint.position;
  }

  Index step() const override { return trainer_.progress().step; }

  reference::StepLosses train_step(const std::vector<ScoredSequence>& sequences) override {
    try {
      const gpu::TrainerLosses losses = trainer_.train_step(packed(sequences));
      return {losses.objective, losses.next_token, reference::floor_of(sequences)};
    } catch (const gpu::NonFiniteLoss& error) {
      throw reference::NonFiniteLoss(error.step, error.batch);
    }
  }
  std::vector<double> validation_losses(const std::vector<ScoredSequence>& sequences) override {
    const std::vector<float> losses = trainer_.validate(packed(sequences));
    return {losses.begin(), losses.end()};
  }

  std::string words() const override {
    const std::string count = ranks_->size() > 1 ? std::to_string(ranks_->size()) + " " : "";
    return "on " + count + name_ + ", the head in " + (fp8_head_ ? "fp8" : "bf16");
  }
  std::optional<std::size_t> memory_bytes() const override { return bytes_; }
  std::optional<double> peak_flops() const override { return hopper_flops * ranks_->size(); }

  void measure_parts() override { trainer_.set_timeline(&timeline_); }
  StepParts step_parts() const override { return timeline_.milliseconds(); }

 private:
  RunWords words_of(const RunIdentity& run) const {
    RunWords words = run_words("pairedhead device checkpoint 1", config_, run);
    words.emplace_back("head", fp8_head_ ? "fp8" : "bf16");
    return words;
  }

  const reference::Config config_;
  const bool fp8_head_;
  const std::string name_;
  const std::unique_ptr<gpu::Communicator> ranks_;
  const std::size_t bytes_;
  gpu::Timeline timeline_;
  gpu::Trainer trainer_;
};

}  // namespace

std::unique_ptr<TrainingDevice> make_gpu_device(const reference::TrainerSettings& settings,
                                                bool fp8_head) {
  try {
    return std::make_unique<GpuTrainingDevice>(settings, fp8_head, gpu::rank_environment());
  } catch (const gpu::DeviceUnavailable& error) {
    throw DeviceError("--device gpu: " + std::string(error.what()));
  }
}

}  // namespace pairedhead
