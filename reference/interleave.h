#pragma once

#include "reference/pairing.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// The paired view of [T, H, D] as [2T, H/2, D] (SPEC §3.7, §15): the same memory under three
// strides. Element (flat row R = 2 token + r, slot j, channel d) lies at token * stride_token + r *
// stride_row + j * stride_slot + d.
struct PairedView {
  Index stride_token, stride_row, stride_slot;
  Index offset(Index flat_row, Index slot) const {
    return (flat_row / 2) * stride_token + (flat_row % 2) * stride_row + slot * stride_slot;
  }
};
PairedView paired_view(Index heads, Index head_dim, Pairing pairing);

// x: [T, H, D] -> [2T, H/2, D], copied (the GPU never copies; this is the definition spelled out).
// `strided` keeps the memory order, so its result holds the same values in the same order.
template <class Scalar>
Tensor<Scalar> interleave(const Tensor<Scalar>& x, Pairing pairing);

// The inverse: [2T, H/2, D] -> [T, H, D].
template <class Scalar>
Tensor<Scalar> deinterleave(const Tensor<Scalar>& flat, Pairing pairing);

}  // namespace pairedhead::reference
