#include <cmath>

#include "reference/trainer.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::TrainerSettings;
using reference::TrainerState;
using reference::TrainingData;

constexpr Index schedule_steps = 8;

// What is watched of the parameters: one of each family.
const std::vector<std::string>& watched() {
  static const std::vector<std::string> names = {"qkvo.0",  "c_fc.5",        "c_proj.10",
                                                 "lm_head", "embed",         "value_embed.1",
                                                 "scalars", "attn_gate_bank"};
  return names;
}

double norm(const Tensor<double>& tensor) {
  double squares = 0;
  for (const double x : tensor.values()) squares += x * x;
  return std::sqrt(squares);
}

Tensor<double> vector_of(const std::vector<double>& values) {
  Tensor<double> tensor({static_cast<Index>(values.size())});
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

Values trajectory(const Parameters& p, const Arrays& arrays) {
  TrainerSettings settings;
  settings.config = reference::micro_config();  // splits after step 5 of 6 + 2
  settings.ranks = p.integer("ranks");
  settings.validation_every = schedule_steps;
  settings.validation_sequences = 2;
  settings.validation_length = 64;
  const auto seed = static_cast<std::uint64_t>(arrays.at("seed").at(0));
  TrainingData data = TrainingData::synthetic(settings.config, seed);
  TrainerState state =
      start_training(settings, initial_parameters(settings.config, seed, settings.ranks));
  std::vector<double> losses, norms;
  while (state.step < p.integer("steps")) {
    losses.push_back(train_step(state, data, settings).objective);
  }
  for (const std::string& name : watched()) norms.push_back(norm(state.parameters.at(name)));
  return {{"outputs/loss", vector_of(losses)},
          {"outputs/norm", vector_of(norms)},
          {"outputs/validation_loss", vector_of({validate(state, data, settings).loss})}};
}

// In fp32: the same on every machine, but for a value half way between two in ten million.
Component train_trajectory() {
  Component component = host_row("train_trajectory", "SPEC §6.5, §7, §9, §10",
                                 {"loss", "norm", "validation_loss"}, DType::fp32);
  component.draw = [](Random& random, double size) {
    const Index longest = 1 + static_cast<Index>(size * (schedule_steps - 1));
    return Parameters()
        .set("ranks", Index{1} << random.integer(0, 3))
        .set("steps", random.integer(1, longest));
  };
  component.edges = {Parameters::parse("ranks=2 steps=8")};
  component.shrink = [](const Parameters& p) { return smaller_values(p, "steps", 1); };
  component.check = [](const Parameters& p) {
    check_at_least(p, "steps", 1);
    if (p.integer("steps") > schedule_steps) {
      throw InputError("steps: expected at most " + std::to_string(schedule_steps) + ", got " +
                       p.word("steps"));
    }
    check_at_least(p, "ranks", 1);
    if (8 % p.integer("ranks") != 0) {
      throw InputError("ranks: expected 1, 2, 4 or 8, got " + p.word("ranks"));
    }
  };
  component.inputs = [](const Parameters&, std::uint64_t seed) {
    Array number(DType::int32, {1});
    number.set(0, static_cast<double>(seed % 1000000));
    return Arrays{{"seed", number}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow& output) {
    if (output.name == "loss") return Shape{p.integer("steps")};
    return Shape{output.name == "norm" ? static_cast<Index>(watched().size()) : 1};
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    return trajectory(p, arrays);
  };
  return component;
}

}  // namespace

std::vector<Component> train_rows() { return {train_trajectory()}; }

}  // namespace pairedhead
