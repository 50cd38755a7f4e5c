#pragma once

#include "reference/linear.h"

namespace pairedhead::reference {

// What the logits are multiplied with (SPEC §3.8).
//   bf16  the operands as they are stored
//   fp8   both operands, and in the backward pass the gradient, quantised with static scales
enum class HeadForm { bf16, fp8 };

// SPEC §3.8: fp8 is for training only; a validation takes bf16 whatever was chosen.
HeadForm head_form(HeadForm chosen, bool validation);

// z = Lin(x, lm_head). x: [T, C]; lm_head: [V, C]; z: [T, V]. In fp8, z = xs * wsc * Lin(e4m3(x /
// xs), e4m3(lm_head / wsc)): the quantised operands are part of the definition, in every Rounding.
// No M point inside. Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> head(const Tensor<Scalar>& x, const Tensor<Scalar>& lm_head, HeadForm form);

// SPEC §5 "fp8 head": dx = gs * wsc * g8 w8, dw = xs * gs * g8^T x8, g8 = e5m2(grad_z / gs). A
// quantisation counts as the identity: it has no other derivative of use. grad_z: [T, V].
template <class Scalar>
LinearGradients<Scalar> head_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& lm_head,
                                      const Tensor<Scalar>& grad_z, HeadForm form);

// SPEC §3.10 "dz": e5m2(bf16(grad_z) / gs), the codes' values, shape of grad_z: what the fp8
// backward multiplies with. A definition: the same in every Rounding.
Tensor<double> head_gradient_codes(const Tensor<double>& grad_z);

}  // namespace pairedhead::reference
