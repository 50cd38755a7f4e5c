#pragma once

#include "reference/optim/optimizer.h"
#include "tools/components/training_case.h"

namespace pairedhead {

// A case of `train_step`: one step from a state that is given whole. Families are stacked as
// tools/components/model_layout.h says; X is one of them.
//   X                                           the parameters
//   moment_X second_moment_X mantissa_X         what NorMuon keeps: M [.., rows, columns] fp32,
//                                               S [.., rows] fp32, the mantissas uint16
//   first_moment_X second_moment_X pending_X    what Adam keeps: m, v and the gradient of the even
//                                               step before, fp32 in X's shape
// Inputs are the state before the step, outputs that after it, and
//   update_X    of NorMuon's families, the direction O that X was moved along, bf16: no trainer
//               gives it, but recovered_update finds it in how X moved
// pending_X is 0 after an odd step, which uses it up.

// One parameter of a stack.
struct StackMember {
  reference::ParameterInfo info;
  std::string stack;
  Index number, count;  // it is the number-th of so many
};
std::vector<StackMember> stack_members(const reference::Config& config, Index ranks = 1);

// A member's elements of an array of its stack, in `shape`, zeros where the array has fewer (the
// padding of `scalars`); and back, as many as the array has room for.
Tensor<double> member_values(const StackMember& member, const Array& stack, const Shape& shape);
void put_member(const StackMember& member, const Tensor<double>& values, Array& stack);

// Whether embed is its own parameter before the step, and how often Adam has moved by then.
bool splits_before(Index step, const reference::Config& config);
Index adam_updates_before(Index step);

// Draws what Adam keeps before a step: first_moment_X and second_moment_X, few bits each, none of
// them near zero; of embed zeros where it is not split off. With zero moments Adam's first update
// would be the sign of a gradient, whatever its size, which no scale of error covers.
void add_adam_moments(const reference::Config& config, bool split, Random random, Arrays& arrays);
// Lays the moments into the state, and nothing where the case gives none.
void take_adam_moments(const reference::TrainerSettings& settings, const Arrays& arrays,
                       reference::TrainerState& state);
// Integers from `least` to `most` times a unit.
Array few_bits(DType dtype, const Shape& shape, Index least, Index most, double unit,
               Random random);

// How NorMuon moves a family, and at which rates at a step. stack: of stacked_table.
reference::NormuonSettings normuon_settings(const reference::ParameterInfo& stack);
reference::NormuonRates step_rates(const reference::ParameterInfo& stack,
                                   const reference::Config& config, Index step);

// The direction that moves an element from `before` to `after` (SPEC §6.2), as bf16 bits. There is
// one: the decay, which depends on the direction's sign, leaves a gap between where it acts and
// where it does not. Some other value where no direction moves so.
std::uint16_t recovered_update(float before, float after, const reference::NormuonRates& rates);
// Fills the outputs update_X from the parameters and mantissas among the inputs and outputs.
void recover_updates(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

}  // namespace pairedhead
