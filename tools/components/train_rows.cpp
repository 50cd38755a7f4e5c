#include <algorithm>
#include <cmath>

#include "reference/dtype.h"
#include "tools/components/rows.h"
#include "tools/components/train_step_case.h"

namespace pairedhead {
namespace {

using reference::Config;
using reference::TrainerSettings;
using reference::TrainerState;
using reference::TrainingData;

constexpr Index schedule_steps = 8;

double norm(const Tensor<double>& tensor) {
  double squares = 0;
  for (const double x : tensor.values()) squares += x * x;
  return std::sqrt(squares);
}

// A target stores its state in the types of SPEC §2 and §6: storage=defined. Without the word all
// of it is double, as in the goldens of other origin.
bool is_exact(const Parameters& p) { return !p.has("storage"); }

TrainerSettings settings_of(const Parameters& p, Rounding rounding) {
  TrainerSettings settings = training_settings(p, is_exact(p) ? Rounding::exact() : rounding);
  if (is_exact(p)) settings.storage = reference::Storage::exact;
  settings.validation_every = schedule_steps;
  settings.validation_sequences = trajectory_validation_sequences;
  settings.validation_length = trajectory_validation_length;
  return settings;
}

Arrays draw_inputs(const Parameters& p, std::uint64_t seed) {
  const Config config = training_config(p);
  Random random(seed);
  Arrays arrays;
  add_parameters(config, false, random.split(1), arrays);
  if (!is_exact(p)) add_adam_moments(config, false, random.split(4), arrays);
  arrays["tokens"] = training_text(config, 0, p.integer("steps"), random.split(2));
  // SPEC §8 asks for a token more than the last target.
  arrays["validation_tokens"] = training_text(
      config, trajectory_validation_sequences * trajectory_validation_length + 2, random.split(3));
  return arrays;
}

Values trajectory(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const TrainerSettings settings = settings_of(p, rounding);
  TrainingData data = TrainingData::from_tokens(settings.config, tokens_of(arrays.at("tokens")),
                                                tokens_of(arrays.at("validation_tokens")));
  TrainerState state = start_training(settings, training_parameters(settings, arrays));
  take_adam_moments(settings, arrays, state);
  std::vector<double> losses, norms;
  while (state.step < p.integer("steps")) {
    losses.push_back(train_step(state, data, settings).objective);
  }
  for (const std::string& name : watched_parameters(settings.config)) {
    norms.push_back(norm(state.parameters.at(name)));
  }
  const double validation = validate(state, data, settings).loss;
  return {{"outputs/loss", in_fp32(losses)},
          {"outputs/norm", in_fp32(norms)},
          {"outputs/validation_loss", in_fp32({validation})},
          {"outputs/frequency",
           in_fp32({state.rotary.frequency.begin(), state.rotary.frequency.end()})},
          {"outputs/softmax_scale", Tensor<double>({1}, state.rotary.softmax_scale)}};
}

// Means of positive numbers and roots of sums of squares are as large as their terms.
Values own_magnitudes(Values values) {
  for (auto& [key, tensor] : values) {
    for (double& value : tensor.values()) value = std::abs(value);
  }
  return values;
}

Component train_trajectory() {
  Component component;
  component.name = "train_trajectory";
  component.spec_section = "SPEC §6.5, §7, §9, §10";
  const auto output = [](const char* name, DType dtype, bool bitwise) {
    return OutputRow{.name = name, .is_gradient = false, .dtype = dtype, .bitwise = bitwise};
  };
  component.outputs = {output("loss", DType::fp32, false), output("norm", DType::fp32, false),
                       output("validation_loss", DType::fp32, false),
                       output("frequency", DType::fp32, true),
                       output("softmax_scale", DType::fp64, true)};
  component.draw = [](Random& random, double size) {
    const Index longest = 1 + static_cast<Index>(size * (schedule_steps - 1));
    return draw_training(random).set("steps", random.integer(1, longest)).set("storage", "defined");
  };
  component.edges = {Parameters::parse("ranks=2 steps=8 storage=defined")};
  component.shrink = [](const Parameters& p) {
    std::vector<Parameters> smaller = shrink_training(p);
    const auto shorter = smaller_values(p, "steps", 1);
    smaller.insert(smaller.end(), shorter.begin(), shorter.end());
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_at_least(p, "steps", 1);
    if (p.integer("steps") > schedule_steps) {
      throw InputError("steps: expected at most " + std::to_string(schedule_steps) + ", got " +
                       p.word("steps"));
    }
    if (!is_exact(p) && p.word("storage") != "defined") {
      throw InputError("storage: expected defined or none, got \"" + p.word("storage") + "\"");
    }
    check_training(p);
  };
  component.inputs = draw_inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& row) {
    if (row.name == "loss") return Shape{p.integer("steps")};
    const Config config = training_config(p);
    if (row.name == "norm") return Shape{static_cast<Index>(watched_parameters(config).size())};
    return Shape{row.name == "frequency" ? config.head_dim : 1};
  };
  component.one_in = 10;
  component.reference = trajectory;
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    return own_magnitudes(trajectory(p, arrays, Rounding::exact()));
  };
  component.accumulator = [](const Parameters& p, const OutputRow&) {
    return is_exact(p) ? unit_roundoff(DType::fp64) : fp32_accumulator;
  };
  return component;
}

}  // namespace

std::vector<Component> train_rows() { return {train_step_row(), train_trajectory()}; }

}  // namespace pairedhead
