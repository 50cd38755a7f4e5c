#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reference/trainer.h"
#include "tools/train/checkpoint_header.h"

namespace pairedhead {

// Where a step's time went: milliseconds by part, in order, adding up to the step.
using StepParts = std::vector<std::pair<std::string, double>>;

// What takes the steps of a training run. What is read, logged and decided around them is its
// caller's, and the same for all.
class TrainingDevice {
 public:
  virtual ~TrainingDevice() = default;

  // Where a run begins: before step 0, with parameters of parameter_table. Throws InputError where
  // they are others.
  virtual void start(reference::ParameterSet<double> parameters) = 0;

  // A checkpoint at `path`, replaced whole or not at all by the process that leads, of a run that
  // has read its text up to `position`; and where such a run goes on. Throw InputError as one
  // sentence.
  virtual void save(const std::filesystem::path& path, const RunIdentity& run,
                    const reference::BatchPosition& position) = 0;
  virtual reference::BatchPosition load(const std::filesystem::path& path,
                                        const RunIdentity& run) = 0;

  virtual Index step() const = 0;  // the next one

  // Where several processes train one model, each with a device of its own, all call the same
  // functions of it, but one alone prints, logs and writes.
  virtual bool leads() const { return true; }
  // Whether it is so in any of them.
  virtual bool any(bool mine) { return mine; }

  // On step_sequences of that step. Throws InputError where the schedule has ended, and
  // reference::NonFiniteLoss; the state is then as before.
  virtual reference::StepLosses train_step(
      const std::vector<reference::ScoredSequence>& sequences) = 0;

  // -ln of the probability of each target before that step, one sequence after the other.
  virtual std::vector<double> validation_losses(
      const std::vector<reference::ScoredSequence>& sequences) = 0;

  virtual std::string words() const = 0;  // "in double on the CPU"
  // What it takes of its own memory, and what it could multiply a second; where they are known.
  virtual std::optional<std::size_t> memory_bytes() const { return std::nullopt; }
  virtual std::optional<double> peak_flops() const { return std::nullopt; }

  // From now on steps are timed by part, where the device can do it.
  virtual void measure_parts() {}
  // Of the last step, for whose end it waits; empty where nothing was measured.
  virtual StepParts step_parts() const { return {}; }
};

// reference::train_step and its like.
std::unique_ptr<TrainingDevice> make_reference_device(const reference::TrainerSettings& settings);

// gpu::Trainer on device 0, its lm_head in fp8 or in bf16. Throws DeviceError with one sentence
// where no device will do or its memory is too small, InputError on settings that it refuses.
std::unique_ptr<TrainingDevice> make_gpu_device(const reference::TrainerSettings& settings,
                                                bool fp8_head);

// What one token of training multiplies: 6 flops a weight of a matrix, those of attention's scores
// and of norms, gates and the optimizers not counted.
double flops_per_token(const reference::Config& config);

}  // namespace pairedhead
