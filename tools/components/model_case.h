#pragma once

#include "reference/model.h"
#include "tools/components/row_plan.h"

namespace pairedhead {

// What the rows `block` and `model` share: the parameters T, documents, H, D, F, short_window,
// pairing and yarn, and how their inputs are drawn.

Parameters draw_sizes(Random& random, double size);
std::vector<Parameters> shrink_sizes(const Parameters& parameters);
// T, documents, short_window and yarn; throws InputError with one sentence.
void check_sizes(const Parameters& parameters);
// Throw InputError with one sentence unless the integer is 0 or 1, or lies in [least, most].
void check_flag(const Parameters& parameters, const char* name);
void check_between(const Parameters& parameters, const char* name, Index least, Index most);

// Normal values times a power of two, which keeps them bf16.
Array scaled_normal(DType dtype, const Shape& shape, double scale, Random random);
// Either sign, 0.25 to 1.5: no lambda switches a path off.
Array lambdas(const Shape& shape, Random random);

// The inputs `frequency` and `softmax_scale`, as they are at the start (yarn=0) or after one change
// of the windows (yarn=1), and the state they stand for.
void add_rotary(const Parameters& parameters, Arrays& arrays);
reference::RotaryState rotary_of(const Arrays& arrays);

// A hidden unit that is off at every token, but only just, is switched on by rounding or is not,
// and its gradients with it: no scale of error tells which is right. Nor where a unit is within
// 0.01 of its kink at one token, and little comes from the others. mlp_input [T, C], c_fc [F, C].
bool has_marginal_unit(const Tensor<double>& mlp_input, const Tensor<double>& c_fc);

// The units that are off by less than 0.05 at a token while fewer than three others turn them on by
// more. A rounding then decides whether such a token has a share in the unit's gradient, and the
// share may be most of it.
std::vector<Index> units_near_their_kink(const Tensor<double>& mlp_input,
                                         const Tensor<double>& c_fc);

// The first of a few seeds' inputs without such a unit; the last if none is.
template <class Draw, class IsMarginal>
Arrays clear_inputs(std::uint64_t seed, const Draw& draw, const IsMarginal& is_marginal) {
  constexpr std::uint64_t tries = 16;
  Arrays arrays;
  for (std::uint64_t i = 0; i < tries; ++i) {
    arrays = draw(Random(seed).split(i));
    if (!is_marginal(arrays)) break;
  }
  return arrays;
}

// The same evaluation on absolute values.
using EvaluateMagnitude = TensorsOf<Magnitude> (*)(const Parameters&, const Arrays&, Rounding);
std::function<Values(const Parameters&, const Arrays&)> magnitude_of(EvaluateMagnitude evaluate);

}  // namespace pairedhead
