#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "gpu/emulated/model.h"
#include "reference/config.h"
#include "reference/document_packer.h"

namespace pairedhead::gpu::emulated {

// A trainer's state by name, families stacked (ModelTensors): bf16 bits and mantissas as halves,
// the rest as singles.
//   X                                        parameters
//   moment_X second_moment_X mantissa_X      of NorMuon's families
//   first_moment_X second_moment_X pending_X of Adam's
struct TrainerTensors {
  std::map<std::string, std::vector<std::uint16_t>> halves;
  std::map<std::string, std::vector<float>> singles;
};

// The training loop as the GPU's trainer makes it (SPEC §6.5, §7, §9), with the bf16 head: eight
// passes of the emulated model, whose gradients are summed in fp32 in one fixed binary tree, then
// the kernels of both optimizers.
class Trainer {
 public:
  // shape: what the configuration says of the model (ModelProblem's sizes and layers); the rest is
  // filled in for each pass. All tensors start as zeros.
  Trainer(const reference::Config& config, ModelProblem shape);

  TrainerTensors& tensors() { return tensors_; }
  // Before a step: the number of Adam's updates, of embed too where it is split off.
  void start_at(int step, bool split, int updates);

  // The mean of the objective over the eight sequences, in nats a token.
  double step(std::span<const reference::PackedSequence> sequences);
  // The mean of -ln p over the targets, with the windows of the present step.
  double validate(std::span<const reference::PackedSequence> sequences);

  const std::vector<float>& frequency() const { return frequency_; }
  double softmax_scale() const { return softmax_scale_; }

 private:
  // Parameters of one name or of one stack.
  struct Family {
    std::string name, label;
    std::int64_t parameters, rows, columns;  // of a bank all four matrices one below the other
    bool bf16, normuon;
    double lr_mul, wd_mul;

    int matrices() const { return label == "attn" ? 4 : 1; }
    std::size_t count() const { return static_cast<std::size_t>(parameters * rows * columns); }
  };

  void begin_step();
  double pass(const reference::PackedSequence& sequence, const std::vector<float>& mtp_weights,
              bool validation, TrainerTensors& gradients);
  void move_normuon(const Family& family, const std::vector<float>& gradient);
  void move_adam(const Family& family, const std::vector<float>& gradient);

  reference::Config config_;
  ModelProblem shape_;
  std::vector<Family> families_;
  TrainerTensors tensors_;
  std::vector<float> frequency_;
  double softmax_scale_ = 0.1;
  std::int64_t long_blocks_;
  int step_ = 0, updates_ = 0, embed_updates_ = 0;
  bool split_ = false;
};

}  // namespace pairedhead::gpu::emulated
