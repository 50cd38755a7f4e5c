#pragma once

#include <cstdint>

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §6.2: an fp32 parameter kept in two halves. `high` is the bf16 weight that the model reads,
// the value truncated toward zero; `low` extends its mantissa.
struct SplitFloat {
  std::uint16_t high = 0;
  std::uint16_t low = 0;
  bool operator==(const SplitFloat&) const = default;
};

// The two halves of a float and back, without loss. Every NaN is split as 0x7fff, 0xffff, the NaN
// that a GPU makes, so that its bits too can be compared.
SplitFloat split(float value);
float join(SplitFloat parameter);

// SPEC §6.2, one element: the direction O moves the parameter z to
//     z - ((z * keep) * weight_decay) * learning_rate - O * learning_rate
// where keep is 1 if O * z >= 0, else 0; learning_rate is eff_lr and weight_decay eff_wd of SPEC
// §6.1.6. Number is
//   Single  as defined: IEEE fp32 operations in this order, each rounded to nearest, none
//           contracted, denormals kept. An O * z that underflows to -0 keeps.
//   double  exact: the same without the roundings
template <class Number>
Number cautious_update(const Number& parameter, const Number& direction,
                       const Number& learning_rate, const Number& weight_decay);

// The same for every element of a matrix, exactly.
void cautious_update(Tensor<double>& parameter, const Tensor<double>& direction,
                     double learning_rate, double weight_decay);

// The same for the two halves, as defined: the same bits everywhere. A NaN direction or parameter
// gives NaN.
SplitFloat cautious_split_update(SplitFloat parameter, float direction, float learning_rate,
                                 float weight_decay);

}  // namespace pairedhead::reference
