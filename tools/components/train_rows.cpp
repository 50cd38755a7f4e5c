#include <algorithm>
#include <cmath>

#include "reference/dtype.h"
#include "reference/schedule.h"
#include "reference/trainer.h"
#include "tools/components/model_layout.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::Config;
using reference::ParameterInfo;
using reference::ParameterSet;
using reference::Tokens;
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

// In fp32: the same on every machine, but for a value half way between two in ten million.
Tensor<double> vector_of(const std::vector<double>& values) {
  Tensor<double> tensor({static_cast<Index>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) {
    tensor[static_cast<Index>(i)] = round_to(DType::fp32, values[i]);
  }
  return tensor;
}

TrainerSettings settings_of(const Parameters& p) {
  TrainerSettings settings;
  settings.config = reference::micro_config();  // splits after step 5 of 6 + 2
  settings.ranks = p.integer("ranks");
  settings.validation_every = schedule_steps;
  settings.validation_sequences = 2;
  settings.validation_length = 64;
  return settings;
}

// Random and not zero, unlike SPEC's initial ones, of which some have no gradient; few bits each,
// so that goldens stay small. embed is not read before the split overwrites it.
Array parameter_values(const ParameterInfo& info, Random random) {
  Array array(info.dtype, info.shape);
  for (Index i = 0; i < array.size() && info.name != "embed"; ++i) {
    if (info.dtype == DType::fp32) {
      const double sign = random.integer(0, 1) == 0 ? 1 : -1;
      array.set(i, sign * static_cast<double>(random.integer(4, 24)) / 16);
    } else {
      const double size = info.optimizer == reference::Optimizer::normuon ? 32 : 16;
      array.set(i, static_cast<double>(random.integer(-8, 8)) / size);
    }
  }
  return array;
}

// Documents of 1 to 20 tokens, of which training reads 16.
Array text(Index count, const Config& config, Random random) {
  Array tokens(DType::uint16, {count});
  Index left = 0;
  for (Index i = 0; i < count; ++i) {
    const bool starts = left == 0;
    if (starts) left = random.integer(1, 20);
    tokens.set(i, static_cast<double>(starts ? config.bos : random.integer(0, config.bos - 1)));
    --left;
  }
  return tokens;
}

Arrays draw_inputs(const Parameters& p, std::uint64_t seed) {
  const TrainerSettings settings = settings_of(p);
  const Config& config = settings.config;
  Random random(seed);
  Arrays arrays;
  std::uint64_t stream = 0;
  for (const ParameterInfo& info : stacked_table(config)) {
    arrays[info.name] = parameter_values(info, random.split(++stream));
  }
  // Twice what is read, and as many documents again, since a sequence discards what it cuts.
  Index tokens = 0;
  for (Index step = 0; step < p.integer("steps"); ++step) {
    tokens += 2 * batch_tokens(step, config.schedule) + 40 * config.schedule.micro_batches;
  }
  arrays["tokens"] = text(tokens, config, random.split(++stream));
  // SPEC §8 asks for a token more than the last target.
  arrays["validation_tokens"] = text(settings.validation_sequences * settings.validation_length + 2,
                                     config, random.split(++stream));
  return arrays;
}

Tokens tokens_of(const Array& array) {
  return {array.as<std::uint16_t>(), array.as<std::uint16_t>() + array.size()};
}

ParameterSet<double> parameters_of(const TrainerSettings& settings, const Arrays& arrays) {
  ParameterSet<double> stacks;
  for (const ParameterInfo& info : stacked_table(settings.config)) {
    stacks.emplace(info.name, to_tensor(arrays.at(info.name)));
  }
  ParameterSet<double> parameters = unstacked(settings.config, stacks);
  // Padding that makes equal shards, which nobody reads.
  const Tensor<double>& scalars = stacks.at("scalars");
  const reference::ScalarLayout layout{settings.config.depth()};
  Tensor<double> padded({layout.padded(settings.ranks)});
  std::copy_n(scalars.data(), layout.used(), padded.data());
  parameters.at("scalars") = std::move(padded);
  return parameters;
}

Values trajectory(const Parameters& p, const Arrays& arrays) {
  const TrainerSettings settings = settings_of(p);
  TrainingData data = TrainingData::from_tokens(settings.config, tokens_of(arrays.at("tokens")),
                                                tokens_of(arrays.at("validation_tokens")));
  TrainerState state = start_training(settings, parameters_of(settings, arrays));
  std::vector<double> losses, norms;
  while (state.step < p.integer("steps")) {
    losses.push_back(train_step(state, data, settings).objective);
  }
  for (const std::string& name : watched()) norms.push_back(norm(state.parameters.at(name)));
  return {{"outputs/loss", vector_of(losses)},
          {"outputs/norm", vector_of(norms)},
          {"outputs/validation_loss", vector_of({validate(state, data, settings).loss})}};
}

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
  component.inputs = draw_inputs;
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
