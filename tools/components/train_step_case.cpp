#include "tools/components/train_step_case.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "reference/optim/cautious_split.h"
#include "reference/schedule.h"
#include "tools/components/model_layout.h"

namespace pairedhead {

using reference::Config;
using reference::NormuonRates;
using reference::NormuonSettings;
using reference::ParameterInfo;

std::vector<StackMember> stack_members(const Config& config, Index ranks) {
  std::vector<StackMember> members;
  std::map<std::string, Index> counts;
  for (const ParameterInfo& info : parameter_table(config, ranks)) {
    const std::string stack = info.name.substr(0, info.name.find('.'));
    members.push_back({info, stack, counts[stack]++, 0});
  }
  for (StackMember& member : members) member.count = counts.at(member.stack);
  return members;
}

Tensor<double> member_values(const StackMember& member, const Array& stack, const Shape& shape) {
  Tensor<double> values(shape);
  const Index held = stack.size() / member.count;
  for (Index i = 0; i < std::min(held, values.size()); ++i) {
    values[i] = stack.at(member.number * held + i);
  }
  return values;
}

void put_member(const StackMember& member, const Tensor<double>& values, Array& stack) {
  const Index held = stack.size() / member.count;
  for (Index i = 0; i < std::min(held, values.size()); ++i) {
    stack.set(member.number * held + i, values[i]);
  }
}

bool splits_before(Index step, const Config& config) { return step > split_step(config.schedule); }

Index adam_updates_before(Index step) { return step / 2; }  // at every odd one

Array few_bits(DType dtype, const Shape& shape, Index least, Index most, double unit,
               Random random) {
  Array array(dtype, shape);
  for (Index i = 0; i < array.size(); ++i) {
    array.set(i, unit * static_cast<double>(random.integer(least, most)));
  }
  return array;
}

void add_adam_moments(const Config& config, bool split, Random random, Arrays& arrays) {
  std::uint64_t stream = 0;
  const auto own = [&] { return random.split(++stream); };
  for (const ParameterInfo& stack : stacked_table(config)) {
    if (stack.optimizer != reference::Optimizer::adam) continue;
    const double unit = stack.name != "embed" || split ? 0x1p-6 : 0;
    arrays["first_moment_" + stack.name] = few_bits(DType::fp32, stack.shape, -16, 16, unit, own());
    arrays["second_moment_" + stack.name] = few_bits(DType::fp32, stack.shape, 1, 16, unit, own());
  }
}

void take_adam_moments(const reference::TrainerSettings& settings, const Arrays& arrays,
                       reference::TrainerState& state) {
  for (const StackMember& member : stack_members(settings.config, settings.ranks)) {
    const ParameterInfo& info = member.info;
    const auto first = arrays.find("first_moment_" + member.stack);
    if (info.optimizer != reference::Optimizer::adam || first == arrays.end()) continue;
    if (info.name == "embed" && !state.split) continue;
    state.adam[info.name] = {
        member_values(member, first->second, info.shape),
        member_values(member, arrays.at("second_moment_" + member.stack), info.shape),
        adam_updates_before(state.step)};
  }
}

NormuonSettings normuon_settings(const ParameterInfo& stack) {
  return {stack.label == "attn" ? 4 : 1, stack.lr_mul, stack.wd_mul};
}

NormuonRates step_rates(const ParameterInfo& stack, const Config& config, Index step) {
  return normuon_rates({stack.shape[1], stack.shape[2]}, normuon_settings(stack),
                       learning_rate(step, config.schedule));
}

std::uint16_t recovered_update(float before, float after, const NormuonRates& rates) {
  const reference::SplitFloat from = reference::split(before), to = reference::split(after);
  const auto rate = static_cast<float>(rates.learning_rate);
  const auto decay = static_cast<float>(rates.weight_decay);
  const auto moves = [&](std::uint16_t bits) {
    const auto direction = static_cast<float>(from_bf16_bits(bits));
    return reference::cautious_split_update(from, direction, rate, decay) == to;
  };
  std::uint16_t nearest = 0;
  for (const bool decays : {true, false}) {
    // As the update itself decays it: another order or a contraction would be off by a last bit,
    // which is many directions where the move is small.
    const float start =
        decays ? reference::join(reference::cautious_split_update(from, 0, rate, decay)) : before;
    nearest = to_bf16_bits((static_cast<double>(start) - static_cast<double>(after)) /
                           static_cast<double>(rate));
    // The move itself was rounded, so that a neighbour may be what was stored.
    for (const int away : {0, 1, -1}) {
      const auto bits = static_cast<std::uint16_t>(nearest + away);
      if (moves(bits)) return bits;
    }
  }
  // Too small to move it, but of the sign that spares it the decay.
  const std::uint16_t tiny = to_bf16_bits(before > 0 ? -0x1p-40 : 0x1p-40);
  return moves(tiny) ? tiny : nearest;
}

void recover_updates(const Parameters& p, const Arrays& inputs, Arrays& outputs) {
  const Config config = training_config(p);
  for (const ParameterInfo& stack : stacked_table(config)) {
    if (stack.optimizer != reference::Optimizer::normuon) continue;
    const NormuonRates rates = step_rates(stack, config, p.integer("step"));
    const auto whole = [&](const Array& high, const Array& low, Index i) {
      return reference::join({high.as<std::uint16_t>()[i], low.as<std::uint16_t>()[i]});
    };
    auto* const update = outputs.at("outputs/update_" + stack.name).as<std::uint16_t>();
    for (Index i = 0; i < element_count(stack.shape); ++i) {
      update[i] =
          recovered_update(whole(inputs.at(stack.name), inputs.at("mantissa_" + stack.name), i),
                           whole(outputs.at("outputs/parameter_" + stack.name),
                                 outputs.at("outputs/mantissa_" + stack.name), i),
                           rates);
    }
  }
}

}  // namespace pairedhead
