#include "tools/train/training_device.h"

#include <utility>

#include "tools/train/checkpoint.h"

namespace pairedhead {
namespace {

using reference::BatchPosition;
using reference::ScoredSequence;

class ReferenceDevice final : public TrainingDevice {
 public:
  explicit ReferenceDevice(const reference::TrainerSettings& settings) : settings_(settings) {}

  void start(reference::ParameterSet<double> parameters) override {
    state_ = start_training(settings_, std::move(parameters));
  }

  void save(const std::filesystem::path& path, const RunIdentity& run,
            const BatchPosition& position) override {
    state_.position = position;
    write_checkpoint(path, state_, settings_, run);
  }
  BatchPosition load(const std::filesystem::path& path, const RunIdentity& run) override {
    state_ = read_checkpoint(path, settings_, run);
    return state_.position;
  }

  Index step() const override { return state_.step; }
  reference::StepLosses train_step(const std::vector<ScoredSequence>& sequences) override {
    return reference::train_step(state_, sequences, settings_);
  }
  std::vector<double> validation_losses(const std::vector<ScoredSequence>& sequences) override {
    return reference::validation_losses(state_, sequences, settings_);
  }

  std::string words() const override { return "in double on the CPU"; }

 private:
  reference::TrainerSettings settings_;
  reference::TrainerState state_;
};

}  // namespace

std::unique_ptr<TrainingDevice> make_reference_device(const reference::TrainerSettings& settings) {
  return std::make_unique<ReferenceDevice>(settings);
}

#ifndef PAIREDHEAD_HAS_CUDA
std::unique_ptr<TrainingDevice> make_gpu_device(const reference::TrainerSettings&, bool) {
  throw DeviceError("--device gpu: this program was built without CUDA");
}
#endif

double flops_per_token(const reference::Config& config) {
  Index weights = 0;
  for (const reference::ParameterInfo& info : reference::parameter_table(config)) {
    const bool multiplies = info.optimizer == reference::Optimizer::normuon;
    if (multiplies || info.name == "lm_head") weights += element_count(info.shape);
  }
  return 6 * static_cast<double>(weights);
}

}  // namespace pairedhead
