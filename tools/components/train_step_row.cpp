#include <algorithm>
#include <cmath>

#include "reference/optim/adam.h"
#include "reference/optim/cautious_split.h"
#include "reference/schedule.h"
#include "tools/components/model_layout.h"
#include "tools/components/polar_rows.h"
#include "tools/components/rows.h"
#include "tools/components/train_step_case.h"

namespace pairedhead {
namespace {

using reference::Config;
using reference::ParameterInfo;
using reference::TrainerSettings;
using reference::TrainerState;
using reference::TrainingData;

constexpr Index schedule_steps = 8;
constexpr const char* output_kinds[] = {"moment",   "second_moment", "update",      "parameter",
                                        "mantissa", "pending",       "first_moment"};

bool by_normuon(const ParameterInfo& info) {
  return info.optimizer == reference::Optimizer::normuon;
}

// A parameter's or a stack's shape without its columns.
Shape rows_of(Shape shape) {
  shape.pop_back();
  return shape;
}

// Of every matrix of a stack, the four of a bank apart: none has a small singular value, and they
// outweigh the gradient, so that what is orthogonalised has none either.
Array moments_of(const ParameterInfo& stack, Random random) {
  const Index matrices = stack.shape[0] * normuon_settings(stack).matrices;
  const Tensor<double> rows({stack.shape[0] * stack.shape[1], stack.shape[2]});
  const auto draw = [&](const Tensor<double>& matrix, Index number) {
    return to_tensor(
        well_conditioned(matrix.shape(), random.split(static_cast<std::uint64_t>(number))));
  };
  return to_array(for_each_matrix(rows, matrices, draw).reshaped(stack.shape), DType::fp32);
}

Arrays draw_inputs(const Parameters& p, std::uint64_t seed) {
  const Config config = training_config(p);
  const Index step = p.integer("step");
  const bool split = splits_before(step, config);
  Random random(seed);
  Arrays arrays;
  add_parameters(config, split, random.split(1), arrays);
  arrays["tokens"] = training_text(config, step, 1, random.split(2));
  add_adam_moments(config, split, random.split(3), arrays);
  std::uint64_t stream = 3;
  const auto own = [&] { return random.split(++stream); };
  for (const ParameterInfo& stack : stacked_table(config)) {
    const std::string& name = stack.name;
    const Shape& shape = stack.shape;
    if (by_normuon(stack)) {
      arrays["moment_" + name] = moments_of(stack, own());
      arrays["second_moment_" + name] = few_bits(DType::fp32, rows_of(shape), 1, 16, 0x1p-8, own());
      arrays["mantissa_" + name] = few_bits(DType::uint16, shape, 0, 0xffff, 1, own());
    } else {
      const bool pending = step % 2 == 1 && (name != "embed" || split);
      arrays["pending_" + name] =
          few_bits(DType::fp32, shape, -16, 16, pending ? 0x1p-6 : 0, own());
    }
  }
  return arrays;
}

TrainerState state_before(const Parameters& p, const TrainerSettings& settings,
                          const Arrays& arrays) {
  TrainerState state = start_training(settings, training_parameters(settings, arrays));
  state.step = p.integer("step");
  state.split = splits_before(state.step, settings.config);
  take_adam_moments(settings, arrays, state);
  for (const StackMember& member : stack_members(settings.config, settings.ranks)) {
    const std::string& name = member.info.name;
    const auto value = [&](const std::string& kind, const Shape& shape) {
      return member_values(member, arrays.at(kind + "_" + member.stack), shape);
    };
    const Shape& shape = member.info.shape;
    if (by_normuon(member.info)) {
      const Tensor<double> mantissa = value("mantissa", shape);
      state.normuon[name] = {value("moment", shape),
                             value("second_moment", rows_of(shape)),
                             {mantissa.values().begin(), mantissa.values().end()}};
    } else if (state.step % 2 == 1 && (name != "embed" || state.split)) {
      for (auto& rank : state.pending) rank[name] = value("pending", shape);
    }
  }
  return state;
}

// Values by key that are filled member by member.
class Outputs {
 public:
  explicit Outputs(const Config& config) : stacks_(stacked_table(config)) {}

  void put(const std::string& kind, const StackMember& member, const Tensor<double>& values) {
    const ParameterInfo& stack = *std::ranges::find(stacks_, member.stack, &ParameterInfo::name);
    const std::string key = "outputs/" + kind + "_" + member.stack;
    const bool rows = by_normuon(stack) && kind == "second_moment";
    Tensor<double>& to =
        values_.try_emplace(key, rows ? rows_of(stack.shape) : stack.shape).first->second;
    const Index held = to.size() / member.count;
    std::copy_n(values.data(), std::min(held, values.size()), to.data() + member.number * held);
  }

  Values take() { return std::move(values_); }
  Values& values() { return values_; }

 private:
  std::vector<ParameterInfo> stacks_;
  Values values_;
};

Tensor<double> rounded(Tensor<double> values, DType dtype) {
  for (double& value : values.values()) value = round_to(dtype, value);
  return values;
}

// One case, evaluated in the order of the step: the passes and sums by the trainer itself; what the
// optimizers make of them from the target's own earlier results where these are given, as each of
// `normuon_step` and `adam_step` is judged.
class StepCase {
 public:
  StepCase(const Parameters& p, const Arrays& arrays, Rounding rounding)
      : arrays_(arrays),
        rounding_(rounding.split(1)),
        settings_(training_settings(p, rounding)),
        before_(state_before(p, settings_, arrays)),
        after_(before_),
        outputs_(settings_.config) {
    TrainingData data =
        TrainingData::from_tokens(settings_.config, tokens_of(arrays.at("tokens")), {});
    loss_ = train_step(after_, data, settings_).objective;
  }

  Values evaluate() {
    std::uint64_t stream = 0;
    for (const StackMember& member : stack_members(settings_.config, settings_.ranks)) {
      if (by_normuon(member.info)) {
        evaluate_normuon(member, rounding_.split(++stream));
      } else {
        evaluate_adam(member);
      }
    }
    outputs_.values()["outputs/loss"] = in_fp32({loss_});
    return outputs_.take();
  }

 private:
  // The target's own value of an output, where it is given.
  std::optional<Tensor<double>> given(const std::string& kind, const StackMember& member,
                                      const Shape& shape) const {
    const auto found = arrays_.find("outputs/" + kind + "_" + member.stack);
    if (found == arrays_.end()) return std::nullopt;
    return member_values(member, found->second, shape);
  }

  void evaluate_normuon(const StackMember& member, Rounding rounding) {
    const std::string& name = member.info.name;
    const Shape& shape = member.info.shape;
    const reference::NormuonState& start = before_.normuon.at(name);
    outputs_.put("moment", member, after_.normuon.at(name).moment);

    const double mu = momentum(before_.step, settings_.config.schedule);
    const Index matrices = normuon_settings(member.info).matrices;
    const Tensor<double> moment =
        given("moment", member, shape).value_or(after_.normuon.at(name).moment);
    Tensor<double> direction(shape);
    for (Index i = 0; i < moment.size(); ++i) {
      const double gradient = (moment[i] - mu * start.moment[i]) / (1 - mu);
      direction[i] = (1 - mu) * gradient + mu * moment[i];
    }
    const Tensor<double> orthogonal = rounding.bf16(reference::normuon_orthogonal(
        rounding.bf16(std::move(direction)), matrices, rounding.split(1)));
    const auto normalised =
        reference::normuon_normalised(orthogonal, matrices, start.second_moment, rounding.split(2));
    outputs_.put("second_moment", member, normalised.second_moment);
    outputs_.put("update", member, normalised.direction);
    move_along(member,
               given("update", member, shape).value_or(rounded(normalised.direction, DType::bf16)));
  }

  void move_along(const StackMember& member, const Tensor<double>& update) {
    const std::string& name = member.info.name;
    const auto rates = normuon_rates(member.info.shape, normuon_settings(member.info),
                                     learning_rate(before_.step, settings_.config.schedule));
    const Tensor<double>& parameter = before_.parameters.at(name);
    const auto& low = before_.normuon.at(name).mantissa;
    Tensor<double> moved(member.info.shape), mantissa(member.info.shape);
    for (Index i = 0; i < moved.size(); ++i) {
      const reference::SplitFloat to = reference::cautious_split_update(
          {to_bf16_bits(parameter[i]), low[static_cast<std::size_t>(i)]},
          static_cast<float>(update[i]), static_cast<float>(rates.learning_rate),
          static_cast<float>(rates.weight_decay));
      moved[i] = from_bf16_bits(to.high);
      mantissa[i] = to.low;
    }
    outputs_.put("parameter", member, moved);
    outputs_.put("mantissa", member, mantissa);
  }

  void evaluate_adam(const StackMember& member) {
    const std::string& name = member.info.name;
    const Shape& shape = member.info.shape;
    const auto of = [&](const TrainerState& state) {
      const auto found = state.adam.find(name);
      return found == state.adam.end() ? reference::adam_start(shape) : found->second;
    };
    const reference::AdamMoments moments = of(after_);
    outputs_.put("pending", member, mean_pending(name, shape));
    outputs_.put("first_moment", member, moments.first);
    const auto first = given("first_moment", member, shape);
    // Where embed becomes a copy, it follows from lm_head's.
    if (!first || before_.step % 2 == 0 || (name == "embed" && !before_.split)) {
      outputs_.put("second_moment", member, moments.second);
      outputs_.put("parameter", member, after_.parameters.at(name));
      return;
    }
    const reference::AdamBetas betas = reference::adam_betas(member.info.label);
    const reference::AdamSettings element = {
        .beta1 = betas.beta1,
        .beta2 = betas.beta2,
        .learning_rate =
            0.008 * learning_rate(before_.step, settings_.config.schedule) * member.info.lr_mul,
        .weight_decay = 0.005 * member.info.wd_mul,
        .updates = moments.updates};
    const reference::AdamMoments start = of(before_);
    Tensor<double> parameter = before_.parameters.at(name), second(shape);
    for (Index i = 0; i < parameter.size(); ++i) {
      const double gradient = ((*first)[i] - betas.beta1 * start.first[i]) / (1 - betas.beta1);
      const auto moved = reference::adam_update(
          reference::AdamState<double>{parameter[i], start.first[i], start.second[i]}, gradient,
          element);
      parameter[i] = moved.parameter;
      second[i] = moved.second;
    }
    outputs_.put("second_moment", member, second);
    outputs_.put("parameter", member, parameter);
  }

  // What the ranks hold of a gradient until the odd step, zero where they hold none.
  Tensor<double> mean_pending(const std::string& name, const Shape& shape) const {
    Tensor<double> mean(shape);
    const double share = 1 / static_cast<double>(after_.pending.size());
    for (const auto& rank : after_.pending) {
      const auto found = rank.find(name);
      if (found == rank.end()) continue;
      for (Index i = 0; i < mean.size(); ++i) mean[i] += share * found->second[i];
    }
    return mean;
  }

  const Arrays& arrays_;
  Rounding rounding_;  // of what comes behind the moments
  const TrainerSettings settings_;
  const TrainerState before_;
  TrainerState after_;
  double loss_ = 0;
  Outputs outputs_;
};

// Sums in fp32 add little to what eight passes round in bf16, so that the sums themselves say how
// much; of Adam's parameter, which is a difference, both terms do.
Values magnitude(const Parameters& p, const Arrays& arrays) {
  Values values = StepCase(p, arrays, Rounding::exact()).evaluate();
  for (auto& [key, tensor] : values) {
    for (double& value : tensor.values()) value = std::abs(value);
  }
  for (const ParameterInfo& stack : stacked_table(training_config(p))) {
    if (by_normuon(stack)) continue;
    Tensor<double>& terms = values.at("outputs/parameter_" + stack.name);
    const Array& before = arrays.at(stack.name);
    for (Index i = 0; i < terms.size(); ++i) terms[i] += 2 * std::abs(before.at(i));
  }
  return values;
}

Component step_row() {
  Component component;
  component.name = "train_step";
  component.spec_section = "SPEC §6, §7, §9";
  const auto output = [&](const std::string& name, DType dtype, bool trivial, bool bitwise) {
    component.outputs.push_back({.name = name,
                                 .is_gradient = false,
                                 .dtype = dtype,
                                 .may_be_trivial = trivial,
                                 .bitwise = bitwise});
  };
  output("loss", DType::fp32, false, false);
  for (const ParameterInfo& stack : stacked_table(reference::micro_config())) {
    const std::string& name = stack.name;
    if (by_normuon(stack)) {
      output("moment_" + name, DType::fp32, false, false);
      output("second_moment_" + name, DType::fp32, false, false);
      output("update_" + name, DType::bf16, false, false);
      output("parameter_" + name, DType::bf16, false, true);
      output("mantissa_" + name, DType::uint16, false, true);
      component.stages.push_back("outputs/moment_" + name);
      component.stages.push_back("outputs/update_" + name);
    } else {  // at an even step all but pending stay as they are
      output("pending_" + name, DType::fp32, true, false);
      output("first_moment_" + name, DType::fp32, true, false);
      output("second_moment_" + name, DType::fp32, true, false);
      output("parameter_" + name, stack.dtype, true, false);
      component.stages.push_back("outputs/first_moment_" + name);
    }
  }
  component.draw = [](Random& random, double) {
    return draw_training(random).set("step", random.integer(0, schedule_steps - 1));
  };
  // Behind an odd step; the step that lengthens the window; the one that splits the embedding off.
  component.edges = {Parameters::parse("ranks=2 step=3"), Parameters::parse("ranks=1 step=2"),
                     Parameters::parse("ranks=4 step=5"),
                     Parameters::parse("layers=P1,L skip=0,1 backout=0 pairing=strided H=2 D=8 "
                                       "F=16 V=16 ranks=8 step=1")};
  component.shrink = [](const Parameters& p) {
    std::vector<Parameters> smaller = shrink_training(p);
    const auto earlier = smaller_values(p, "step", 0);
    smaller.insert(smaller.end(), earlier.begin(), earlier.end());
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_training(p);
    if (p.integer("step") < 0 || p.integer("step") >= schedule_steps) {
      throw InputError("step: expected 0 to " + std::to_string(schedule_steps - 1) + ", got " +
                       p.word("step"));
    }
  };
  component.one_in = 10;
  component.inputs = draw_inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& row) {
    if (row.name == "loss") return Shape{1};
    for (const ParameterInfo& stack : stacked_table(training_config(p))) {
      const auto is = [&](const char* kind) { return row.name == kind + ("_" + stack.name); };
      if (std::ranges::none_of(output_kinds, is)) continue;
      const bool rows = by_normuon(stack) && row.name.starts_with("second_moment_");
      return rows ? rows_of(stack.shape) : stack.shape;
    }
    throw InputError("train_step: no output " + row.name);
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding rounding) {
    return StepCase(p, arrays, rounding).evaluate();
  };
  component.magnitude = magnitude;
  return component;
}

}  // namespace

Component train_step_row() { return step_row(); }

}  // namespace pairedhead
