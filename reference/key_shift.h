#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.6.4, §15: channels [D/4, D/2) and [3D/4, D) come from the previous token (row 0 from
// itself), across document boundaries. key: [T, H, D], D a multiple of 8 (InputError otherwise).
template <class Scalar>
Tensor<Scalar> key_shift(const Tensor<Scalar>& key);

// SPEC §5: the adjoint.
template <class Scalar>
Tensor<Scalar> key_shift_backward(const Tensor<Scalar>& grad_shifted);

// Whether channel d of head_dim is shifted.
bool is_shifted_channel(Index channel, Index head_dim);

}  // namespace pairedhead::reference
