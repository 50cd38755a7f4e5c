#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.8: l = 23 * sig((z + 5) / 7.5), element by element, within (0, 23). z, l: one shape. No M
// point.
template <class Scalar>
Tensor<Scalar> softcap(const Tensor<Scalar>& z);

// SPEC §5 "softcap": dz = g * l * (23 - l) / (23 * 7.5), from z. Throws InputError where the shapes
// of z and grad_l differ.
template <class Scalar>
Tensor<Scalar> softcap_backward(const Tensor<Scalar>& z, const Tensor<Scalar>& grad_l);

// For functions that softcap on the way: `count` logits in place, and one.
template <class Scalar>
void softcap_row(Scalar* z, Index count);
template <class Scalar>
Scalar softcapped(const Scalar& z);
// dl/dz in place of each of `count` l, and of one.
template <class Scalar>
void softcap_slope_row(Scalar* l, Index count);
template <class Scalar>
Scalar softcap_slope(const Scalar& l);

}  // namespace pairedhead::reference
