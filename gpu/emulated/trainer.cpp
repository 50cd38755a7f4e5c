#include "gpu/emulated/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/optimizer.h"
#include "gpu/emulated/polar.h"
#include "gpu/emulated/yarn.h"
#include "reference/parameters.h"
#include "reference/schedule.h"

namespace pairedhead::gpu::emulated {

using reference::PackedSequence;
using reference::ParameterInfo;

namespace {

constexpr int micro_batches = 8;

struct Betas {
  double first, second;
};
// SPEC §6.3.
Betas betas_of(const std::string& label) {
  if (label == "lm_head" || label == "embed") return {0.5, 0.95};
  if (label == "value_embed") return {0.75, 0.95};
  if (label == "x0_lambdas") return {0.65, 0.95};
  return {0.9, 0.99};
}

// SPEC §3.4.
std::vector<float> start_frequency(std::int64_t head_dim) {
  std::vector<float> frequency(static_cast<std::size_t>(head_dim), 0.0f);
  const double last = static_cast<double>(head_dim) / 4 - 1;
  for (std::size_t d = 0; d < frequency.size() / 2; ++d) {
    const std::size_t pair = d / 2;
    frequency[d] = static_cast<float>(std::exp2(-10.0 * static_cast<double>(pair) / last));
  }
  return frequency;
}

// Not const where the kernels only read: ModelWeights are made of the same tensors.
template <class Tensors>
Tensors model_tensors(TrainerTensors& of) {
  const auto half = [&](const char* name) { return of.halves.at(name).data(); };
  const auto single = [&](const char* name) { return of.singles.at(name).data(); };
  return {.qkvo = half("qkvo"),
          .c_fc = half("c_fc"),
          .c_proj = half("c_proj"),
          .lm_head = half("lm_head"),
          .embed = half("embed"),
          .value_embed = half("value_embed"),
          .smear_gate = half("smear_gate"),
          .skip_gate = half("skip_gate"),
          .attn_gate_bank = half("attn_gate_bank"),
          .ve_gate_bank = half("ve_gate_bank"),
          .x0_lambdas = single("x0_lambdas"),
          .scalars = single("scalars")};
}

std::vector<float> widened(const TrainerTensors& gradients, const std::string& name) {
  const auto halves = gradients.halves.find(name);
  if (halves == gradients.halves.end()) return gradients.singles.at(name);
  std::vector<float> values;
  for (const std::uint16_t bits : halves->second) values.push_back(from_bf16(bits));
  return values;
}

std::vector<float> sum(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> total(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) total[i] = a[i] + b[i];
  return total;
}

// Neighbours first, then neighbours of their sums.
std::vector<float> tree_sum(const std::vector<TrainerTensors>& gradients, const std::string& name,
                            std::size_t first, std::size_t count) {
  if (count == 1) return widened(gradients[first], name);
  return sum(tree_sum(gradients, name, first, count / 2),
             tree_sum(gradients, name, first + count / 2, count / 2));
}

}  // namespace

Trainer::Trainer(const reference::Config& config, ModelProblem shape)
    : config_(config),
      shape_(std::move(shape)),
      frequency_(start_frequency(config.head_dim)),
      long_blocks_(window_schedule(0, config.schedule).long_blocks) {
  for (const ParameterInfo& info : reference::parameter_table(config)) {
    const std::string name = info.name.substr(0, info.name.find('.'));
    if (!families_.empty() && families_.back().name == name) {
      ++families_.back().parameters;
      continue;
    }
    const std::int64_t count = element_count(info.shape);
    families_.push_back({.name = name,
                         .label = info.label,
                         .parameters = 1,
                         .rows = info.shape[0],
                         .columns = count / info.shape[0],
                         .bf16 = info.dtype == DType::bf16,
                         .normuon = info.optimizer == reference::Optimizer::normuon,
                         .lr_mul = info.lr_mul,
                         .wd_mul = info.wd_mul});
  }
  for (const Family& family : families_) {
    if (family.bf16) {
      tensors_.halves[family.name].resize(family.count());
    } else {
      tensors_.singles[family.name].resize(family.count());
    }
    if (family.normuon) {
      tensors_.singles["moment_" + family.name].resize(family.count());
      tensors_.singles["second_moment_" + family.name].resize(
          static_cast<std::size_t>(family.parameters * family.rows));
      tensors_.halves["mantissa_" + family.name].resize(family.count());
    } else {
      for (const char* kind : {"first_moment_", "second_moment_", "pending_"}) {
        tensors_.singles[kind + family.name].resize(family.count());
      }
    }
  }
}

void Trainer::start_at(int step, bool split, int updates) {
  step_ = step;
  split_ = split;
  updates_ = updates;
  embed_updates_ = split ? updates : 0;
}

// SPEC §7.4.
void Trainer::begin_step() {
  const reference::ScheduleSettings& schedule = config_.schedule;
  const std::int64_t blocks = window_schedule(step_, schedule).long_blocks;
  if (blocks == long_blocks_ || step_ == schedule.scheduled + schedule.extension) return;
  yarn_update(frequency_.data(), static_cast<int>(frequency_.size()), &softmax_scale_,
              static_cast<int>(long_blocks_), static_cast<int>(blocks),
              static_cast<int>(schedule.window_unit));
  long_blocks_ = blocks;
}

// The loss summed over the sequence's tokens.
double Trainer::pass(const PackedSequence& sequence, const std::vector<float>& mtp_weights,
                     bool validation, TrainerTensors& gradients) {
  const reference::Windows windows = window_schedule(step_, config_.schedule);
  const std::vector<std::int32_t> targets(sequence.targets.begin(), sequence.targets.end());
  const std::vector<std::int32_t> cu_seqlens(sequence.cu_seqlens.begin(),
                                             sequence.cu_seqlens.end());
  ModelProblem problem = shape_;
  problem.tokens = static_cast<int>(sequence.inputs.size());
  problem.short_window = static_cast<int>(windows.short_tokens);
  problem.long_window = static_cast<int>(windows.long_tokens);
  problem.softmax_scale = static_cast<float>(softmax_scale_);
  problem.frequency = frequency_.data();
  problem.inputs = sequence.inputs.data();
  problem.targets = targets.data();
  problem.cu_seqlens = cu_seqlens.data();
  problem.entries = static_cast<int>(cu_seqlens.size());
  problem.split_embedding = split_;
  problem.fp8_head = false;
  problem.mtp_weights = mtp_weights.data();
  problem.horizons = static_cast<int>(mtp_weights.size());
  problem.validation = validation;
  problem.order_seed = static_cast<std::uint64_t>(step_) + 1;
  for (const Family& family : families_) {
    if (family.bf16) {
      gradients.halves[family.name].resize(family.count());
    } else {
      gradients.singles[family.name].resize(family.count());
    }
  }
  float loss = 0;
  const auto tokens = static_cast<std::size_t>(problem.tokens);
  const auto width = static_cast<std::size_t>(config_.width);
  const auto vocabulary = static_cast<std::size_t>(config_.vocabulary);
  // What a judge of the model would look at.
  std::vector<std::uint16_t> head_input(tokens * width), grad_head_input(tokens * width);
  std::vector<std::uint16_t> logits(tokens * vocabulary), grad_logits(tokens * vocabulary);
  std::vector<std::uint16_t> grad_head_weight(vocabulary * width);
  model(problem, model_tensors<ModelWeights>(tensors_), 1.0f / micro_batches,
        {.loss = &loss,
         .head_input = head_input.data(),
         .logits = logits.data(),
         .grad_logits = grad_logits.data(),
         .grad_head_input = grad_head_input.data(),
         .grad_head_weight = grad_head_weight.data()},
        model_tensors<ModelGradients>(gradients));
  return static_cast<double>(loss);
}

double Trainer::step(std::span<const PackedSequence> sequences) {
  begin_step();
  const std::vector<double> weights = mtp_weights(step_, config_.schedule);
  const std::vector<float> rounded(weights.begin(), weights.end());
  std::vector<TrainerTensors> gradients(micro_batches);
  double objective = 0;
  for (std::size_t i = 0; i < micro_batches; ++i) {
    const auto tokens = static_cast<double>(sequences[i].inputs.size());
    objective += pass(sequences[i], rounded, false, gradients[i]) / tokens / micro_batches;
  }
  const bool adam_moves = step_ % 2 == 1;
  updates_ += adam_moves;
  embed_updates_ += adam_moves && split_;
  for (const Family& family : families_) {
    const std::vector<float> gradient = tree_sum(gradients, family.name, 0, micro_batches);
    if (family.normuon) {
      move_normuon(family, gradient);
    } else if (family.name != "embed" || split_) {
      std::vector<float>& pending = tensors_.singles.at("pending_" + family.name);
      if (adam_moves) {
        move_adam(family, sum(pending, gradient));
        std::fill(pending.begin(), pending.end(), 0.0f);
      } else {
        pending = gradient;
      }
    }
  }
  if (step_ == split_step(config_.schedule)) {
    tensors_.halves["embed"] = tensors_.halves.at("lm_head");
    for (const std::string kind : {"first_moment_", "second_moment_"}) {
      tensors_.singles[kind + "embed"] = tensors_.singles.at(kind + "lm_head");
    }
    embed_updates_ = updates_;
    split_ = true;
  }
  ++step_;
  return objective;
}

double Trainer::validate(std::span<const PackedSequence> sequences) {
  begin_step();
  double loss = 0;
  TrainerTensors unused;
  for (const PackedSequence& sequence : sequences) {
    // The mean over its tokens already.
    loss += pass(sequence, {1.0f}, true, unused) / static_cast<double>(sequences.size());
  }
  return loss;
}

void Trainer::move_normuon(const Family& family, const std::vector<float>& gradient) {
  const double eta = 0.023 * learning_rate(step_, config_.schedule);
  const double tall = static_cast<double>(family.rows) / static_cast<double>(family.columns);
  const auto rate = static_cast<float>(eta * std::sqrt(std::max(1.0, tall)) * family.lr_mul);
  const auto decay = static_cast<float>(eta * 1.2 * family.wd_mul);
  float* const moment = tensors_.singles.at("moment_" + family.name).data();
  float* const second_moment = tensors_.singles.at("second_moment_" + family.name).data();
  const auto count = static_cast<std::int64_t>(family.count());
  std::vector<float> direction(family.count());
  momentum(gradient.data(), moment, direction.data(), count,
           static_cast<float>(reference::momentum(step_, config_.schedule)));
  for (float& value : direction) value = through_bf16(value);

  const std::int64_t rows = family.rows / family.matrices();
  std::vector<std::uint16_t> update(family.count());
  for (std::int64_t first = 0; first < family.parameters * family.rows; first += rows) {
    const auto at = first * family.columns;
    const auto seed = static_cast<std::uint64_t>(first) + 1;
    const Bf16Matrix orthogonal =
        polar_express(direction.data() + at, static_cast<int>(rows),
                      static_cast<int>(family.columns), family.matrices() > 1, seed);
    std::copy(orthogonal.begin(), orthogonal.end(), update.begin() + at);
    variance_reduction(update.data() + at, second_moment + first, static_cast<int>(rows),
                       static_cast<int>(family.columns), seed);
  }
  cautious_split_update(tensors_.halves.at(family.name).data(),
                        tensors_.halves.at("mantissa_" + family.name).data(), update.data(), count,
                        rate, decay);
}

void Trainer::move_adam(const Family& family, const std::vector<float>& gradient) {
  const Betas betas = betas_of(family.label);
  const AdamProblem problem = {
      .beta1 = betas.first,
      .beta2 = betas.second,
      .learning_rate = 0.008 * learning_rate(step_, config_.schedule) * family.lr_mul,
      .weight_decay = 0.005 * family.wd_mul,
      .updates = family.name == "embed" ? embed_updates_ : updates_};
  float* const first = tensors_.singles.at("first_moment_" + family.name).data();
  float* const second = tensors_.singles.at("second_moment_" + family.name).data();
  const auto count = static_cast<std::int64_t>(family.count());
  if (family.bf16) {
    adam_step(problem, tensors_.halves.at(family.name).data(), gradient.data(), first, second,
              count);
  } else {
    adam_step(problem, tensors_.singles.at(family.name).data(), gradient.data(), first, second,
              count);
  }
}

}  // namespace pairedhead::gpu::emulated
