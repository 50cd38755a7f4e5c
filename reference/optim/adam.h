#pragma once

#include "reference/dtype.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §6.3, what an Adam parameter's update depends on beside its own state.
struct AdamSettings {
  double beta1 = 0.9, beta2 = 0.99;
  double learning_rate = 0.008;  // lr_p = 0.008 * lr(step) * lr_mul
  double weight_decay = 0;       // 0.005 * wd_mul; lr_p^2 multiplies it
  Index updates = 1;             // t: updates applied to this parameter, this one included
};

// What all elements share of it, for one of the powers of a beta takes longer than an element does.
struct AdamFactors {
  // Throws InputError unless updates >= 1.
  AdamFactors(const AdamSettings& settings);

  AdamSettings settings;
  double step_size;  // of the first moment
  double decay;      // of the parameter, where it is kept
};

// One element's parameter and moments.
template <class Number>
struct AdamState {
  Number parameter, first, second;
};

// SPEC §6.3, one element, the new parameter not yet stored. The factors 1 - beta, step_size and
// lr_p^2 * weight_decay are computed in double; Number(factor) is what the sequence uses:
//     m = b1 * m + (1 - b1) * g
//     v = b2 * v + (1 - b2) * (g * g)
//     u = (step_size * m) / (sqrt(v) + 1e-10)
//     p = p - (u + (keep * p) * decay), keep = 1 if u * p > 0, else 0
// Number is
//   Single  as defined: IEEE fp32 operations in this order, each rounded to nearest, none
//           contracted, denormals kept
//   double  exact: the same without the roundings
template <class Number>
AdamState<Number> adam_update(const AdamState<Number>& state, const Number& gradient,
                              const AdamFactors& factors);

// The same as defined, the parameter stored as `storage`, bf16 (to nearest, ties to even) or fp32:
// the same bits everywhere. Throws InputError on another storage.
AdamState<float> adam_step(const AdamState<float>& state, float gradient,
                           const AdamFactors& factors, DType storage);

}  // namespace pairedhead::reference
