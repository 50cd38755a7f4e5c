#include "tools/targets/emulated_training.h"

#include <algorithm>
#include <cmath>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/trainer.h"
#include "tools/components/model_layout.h"
#include "tools/components/train_step_case.h"
#include "tools/targets/emulated_model.h"

namespace pairedhead {
namespace {

using gpu::emulated::Trainer;
using reference::TrainerSettings;
using reference::TrainingData;

// Every tensor of the trainer that the case gives.
void fill(Trainer& trainer, const Arrays& inputs) {
  const auto take = [&](auto& tensors) {
    for (auto& [name, values] : tensors) {
      const auto given = inputs.find(name);
      if (given == inputs.end()) continue;
      std::copy_n(given->second.bytes.data(), given->second.bytes.size(),
                  reinterpret_cast<std::byte*>(values.data()));
    }
  };
  take(trainer.tensors().halves);
  take(trainer.tensors().singles);
}

// Parameters are outputs of another name than inputs.
void give(Trainer& trainer, Arrays& outputs) {
  const auto put = [&](const auto& tensors) {
    for (const auto& [name, values] : tensors) {
      const bool parameter = outputs.contains("outputs/parameter_" + name);
      Array& array = outputs.at("outputs/" + (parameter ? "parameter_" + name : name));
      std::copy_n(reinterpret_cast<const std::byte*>(values.data()), array.bytes.size(),
                  array.bytes.data());
    }
  };
  put(trainer.tensors().halves);
  put(trainer.tensors().singles);
}

double norm(Trainer& trainer, const StackMember& member) {
  double squares = 0;
  const auto add = [&](const auto& values, const auto& widen) {
    const std::size_t count = values.size() / static_cast<std::size_t>(member.count);
    const std::size_t first = static_cast<std::size_t>(member.number) * count;
    for (std::size_t i = first; i < first + count; ++i) {
      const double x = static_cast<double>(widen(values[i]));
      squares += x * x;
    }
  };
  if (member.info.dtype == DType::bf16) {
    add(trainer.tensors().halves.at(member.stack), gpu::emulated::from_bf16);
  } else {
    add(trainer.tensors().singles.at(member.stack), [](float x) { return x; });
  }
  return std::sqrt(squares);
}

}  // namespace

void run_emulated_train_step(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const TrainerSettings settings = training_settings(parameters, Rounding::exact());
  const Index step = parameters.integer("step");
  TrainingData data =
      TrainingData::from_tokens(settings.config, tokens_of(inputs.at("tokens")), {});
  Trainer trainer(settings.config, emulated_problem(settings.config));
  fill(trainer, inputs);
  trainer.start_at(static_cast<int>(step), splits_before(step, settings.config),
                   static_cast<int>(adam_updates_before(step)));
  outputs.at("outputs/loss").set(0, trainer.step(packed(step_sequences(data, step, settings))));
  give(trainer, outputs);
  recover_updates(parameters, inputs, outputs);
}

void run_emulated_trajectory(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const TrainerSettings settings = training_settings(parameters, Rounding::exact());
  TrainingData data = TrainingData::from_tokens(settings.config, tokens_of(inputs.at("tokens")),
                                                tokens_of(inputs.at("validation_tokens")));
  Trainer trainer(settings.config, emulated_problem(settings.config));
  fill(trainer, inputs);
  for (Index step = 0; step < parameters.integer("steps"); ++step) {
    outputs.at("outputs/loss")
        .set(step, trainer.step(packed(step_sequences(data, step, settings))));
  }
  Index i = 0;
  for (const std::string& name : watched_parameters(settings.config)) {
    for (const StackMember& member : stack_members(settings.config)) {
      if (member.info.name == name) outputs.at("outputs/norm").set(i++, norm(trainer, member));
    }
  }
  outputs.at("outputs/validation_loss")
      .set(0, trainer.validate(packed(
                  data.validation(trajectory_validation_sequences, trajectory_validation_length))));
  for (std::size_t d = 0; d < trainer.frequency().size(); ++d) {
    outputs.at("outputs/frequency")
        .set(static_cast<Index>(d), static_cast<double>(trainer.frequency()[d]));
  }
  outputs.at("outputs/softmax_scale").set(0, trainer.softmax_scale());
}

}  // namespace pairedhead
