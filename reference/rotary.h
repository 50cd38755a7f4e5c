#pragma once

#include <vector>

#include "reference/pairing.h"
#include "reference/rounding.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// State that the rotary tables are built from (SPEC §3.4, §3.5).
struct RotaryState {
  std::vector<float> frequency;  // [D], radians a position; zero for the stationary upper half
  double softmax_scale = 0.1;    // kappa
};

// SPEC §3.4: frequency[2m] = frequency[2m+1] = fp32(1024^(-m/(D/4-1))), m < D/4; the upper half 0.
// head_dim: a multiple of 4, >= 8 (SPEC §15). Throws InputError otherwise.
RotaryState rotary_start(Index head_dim);

// SPEC §3.5: the update when the long window goes from old_blocks to new_blocks, each > 0, of
// window_unit tokens. Computed in double from the fp32 frequencies, rounded once to fp32.
RotaryState yarn_update(const RotaryState& state, Index old_blocks, Index new_blocks,
                        Index window_unit = 128);

// Position of a head's rotation (SPEC §3.4, §3.7, §15): plain t; strided 2t + (h mod 2); adjacent
// 2t + r with r = h mod 2 (the two rules agree in form, not in which heads are partners).
Index rotary_position(Index token, Index head, Pairing pairing);

// SPEC §3.4: cosine and signed sine at bf16 precision (a definition quantisation, in every mode).
// Plain: [T, D]. Paired: [T, 2D], columns [0, D) at position 2t, [D, 2D) at 2t + 1.
// theta is the fp32 product of position and frequency; cos and sin in double of that fp32 number,
// rounded to fp32, then to bf16. sine[., d] carries the sign +1 for even d, -1 for odd d.
struct RotaryTable {
  Tensor<double> cosine, sine;
};
RotaryTable rotary_table(const std::vector<float>& frequency, Index tokens, bool paired);

// The same without the rounding to bf16 (for laws that hold only there; theta is a double product).
RotaryTable rotary_table_unrounded(const std::vector<float>& frequency, Index tokens, bool paired);

// SPEC §3.4 application: y[d] = cosine[d] * x[d] + sine[d] * x[d xor 1], x: [T, H, D].
// Plain: table [T, D] for every head. Paired: table [T, 2D], head h reads columns
// [(h mod 2) D, (h mod 2) D + D). No M point inside (the final rounding is the caller's).
template <class Scalar>
Tensor<Scalar> rotary_apply(const Tensor<Scalar>& x, const Tensor<Scalar>& cosine,
                            const Tensor<Scalar>& sine, bool paired);

// SPEC §5: the adjoint, grad_x from grad_y: the same tables, the angle negated.
template <class Scalar>
Tensor<Scalar> rotary_apply_backward(const Tensor<Scalar>& grad_y, const Tensor<Scalar>& cosine,
                                     const Tensor<Scalar>& sine, bool paired);

}  // namespace pairedhead::reference
