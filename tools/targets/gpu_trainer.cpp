#include <cmath>
#include <map>
#include <memory>

#include "gpu/trainer.h"
#include "tools/components/train_step_case.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

using reference::TrainerSettings;
using reference::TrainingData;

// "normuon/qkvo.0/moment" is "moment_qkvo" of the member qkvo.0, "parameters/qkvo.0" its "qkvo".
struct StateName {
  explicit StateName(const std::string& path) {
    const auto first = path.find('/'), last = path.rfind('/');
    const std::string group = path.substr(0, first);
    if (group == "parameters" || group == "pending") {
      parameter = path.substr(first + 1);
      kind = group == "pending" ? "pending_" : "";
    } else {
      parameter = path.substr(first + 1, last - first - 1);
      const std::string what = path.substr(last + 1);
      kind = what + (group == "adam" ? "_moment_" : "_");
    }
  }
  std::string parameter, kind;
};

// The trainer of the device on a case's state.
class CaseTrainer {
 public:
  CaseTrainer(const TrainerSettings& settings, Index validation_tokens)
      : trainer_({.config = settings.config,
                  .head = gpu::HeadForm::bf16,
                  .validation_tokens = static_cast<int>(validation_tokens)}) {
    for (StackMember& member : stack_members(settings.config)) {
      const std::string name = member.info.name;
      members_.emplace(name, std::move(member));
    }
  }

  // Every tensor that the case gives.
  void fill(const Arrays& inputs) {
    for (const gpu::StateTensor& tensor : trainer_.state()) {
      const StateName name(tensor.name);
      const StackMember& member = members_.at(name.parameter);
      const auto given = inputs.find(name.kind + member.stack);
      if (given == inputs.end()) continue;
      trainer_.upload(tensor, given->second.bytes.data() + offset(tensor, member));
    }
  }

  void start_at(Index step, bool split, Index updates) {
    gpu::TrainerProgress progress = trainer_.progress();
    progress.step = step;
    progress.split = split;
    for (const auto& [name, member] : members_) {
      const bool adam = member.info.optimizer == reference::Optimizer::adam;
      if (adam && updates > 0 && (name != "embed" || split)) progress.updates[name] = updates;
    }
    trainer_.resume(progress);
  }

  // After an odd step, what was pending is used up.
  void give(Arrays& outputs) const {
    const bool used_up = trainer_.progress().step % 2 == 0;
    for (const gpu::StateTensor& tensor : trainer_.state()) {
      const StateName name(tensor.name);
      const StackMember& member = members_.at(name.parameter);
      const std::string kind = name.kind.empty() ? "parameter_" : name.kind;
      std::byte* const to =
          outputs.at("outputs/" + kind + member.stack).bytes.data() + offset(tensor, member);
      trainer_.download(tensor, to);
      if (kind == "pending_" && used_up) std::fill_n(to, tensor.bytes(), std::byte{0});
    }
  }

  double norm(const std::string& parameter) const {
    for (const gpu::StateTensor& tensor : trainer_.state()) {
      if (tensor.name != "parameters/" + parameter) continue;
      Array array(tensor.dtype, tensor.shape);
      trainer_.download(tensor, array.bytes.data());
      double squares = 0;
      for (Index i = 0; i < array.size(); ++i) squares += array.at(i) * array.at(i);
      return std::sqrt(squares);
    }
    throw InputError("trainer: no parameter " + parameter);
  }

  gpu::Trainer& trainer() { return trainer_; }

 private:
  static std::size_t offset(const gpu::StateTensor& tensor, const StackMember& member) {
    return static_cast<std::size_t>(member.number) * tensor.bytes();
  }

  gpu::Trainer trainer_;
  std::map<std::string, StackMember> members_;
};

void train_step(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const TrainerSettings settings = training_settings(parameters, Rounding::exact());
  const Index step = parameters.integer("step");
  TrainingData data =
      TrainingData::from_tokens(settings.config, tokens_of(inputs.at("tokens")), {});
  CaseTrainer run(settings, 0);
  run.fill(inputs);
  run.start_at(step, splits_before(step, settings.config), adam_updates_before(step));
  const auto losses = run.trainer().train_step(packed(step_sequences(data, step, settings)));
  outputs.at("outputs/loss").set(0, losses.objective);
  run.give(outputs);
  recover_updates(parameters, inputs, outputs);
}

void trajectory(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const TrainerSettings settings = training_settings(parameters, Rounding::exact());
  TrainingData data = TrainingData::from_tokens(settings.config, tokens_of(inputs.at("tokens")),
                                                tokens_of(inputs.at("validation_tokens")));
  CaseTrainer run(settings, trajectory_validation_length);
  run.fill(inputs);
  for (Index step = 0; step < parameters.integer("steps"); ++step) {
    const auto losses = run.trainer().train_step(packed(step_sequences(data, step, settings)));
    outputs.at("outputs/loss").set(step, losses.objective);
  }
  Index i = 0;
  for (const std::string& name : watched_parameters(settings.config)) {
    outputs.at("outputs/norm").set(i++, run.norm(name));
  }
  double sum = 0;
  const std::vector<float> losses = run.trainer().validate(
      packed(data.validation(trajectory_validation_sequences, trajectory_validation_length)));
  for (const float loss : losses) sum += static_cast<double>(loss);
  outputs.at("outputs/validation_loss").set(0, sum / static_cast<double>(losses.size()));
  const gpu::TrainerProgress& progress = run.trainer().progress();
  for (std::size_t d = 0; d < progress.frequency.size(); ++d) {
    outputs.at("outputs/frequency")
        .set(static_cast<Index>(d), static_cast<double>(progress.frequency[d]));
  }
  outputs.at("outputs/softmax_scale").set(0, progress.softmax_scale);
}

// A trainer has memory of its own and answers on the host; what it says goes back through the
// case's buffers, so that a row that trains is judged as all others are.
template <void (*run)(const Parameters&, const Arrays&, Arrays&)>
GpuLaunches on_the_host(GpuCase& c) {
  const Parameters& parameters = c.parameters();
  const Arrays& inputs = c.inputs();
  const auto answers = std::make_shared<Arrays>(c.outputs());
  std::map<std::string, std::byte*> places;
  for (const auto& [key, array] : *answers) places[key] = c.at<std::byte>(key);
  return {.forward =
              [=, &parameters, &inputs](cudaStream_t stream) {
                run(parameters, inputs, *answers);
                for (const auto& [key, array] : *answers) {
                  CUDA_CHECK(cudaMemcpyAsync(places.at(key), array.bytes.data(), array.bytes.size(),
                                             cudaMemcpyHostToDevice, stream));
                }
              },
          .backward = {}};
}

}  // namespace

GpuCalls gpu_trainer_calls() {
  return {{"train_step", on_the_host<train_step>}, {"train_trajectory", on_the_host<trajectory>}};
}

}  // namespace pairedhead
