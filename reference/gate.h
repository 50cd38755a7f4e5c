#pragma once

#include "reference/dot.h"
#include "reference/scalar.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// What the gates share (SPEC §5 "gate"): a gate is m * sig(l), l = <x[0:12], w>, m = 1 for the
// output gate and smear, 2 for the value gate and skip. Nothing inside is an M point (SPEC §3.10
// lists them as S).

inline constexpr Index gate_channels = 12;

// sig(<x[0:12], w>) of one token; x and w point to the first of the 12.
template <class Scalar>
Scalar gate_sigmoid(const Scalar* x, const Scalar* w) {
  return sigmoid(dot(x, w, gate_channels));
}

// Adds what the gradient of a logit gives to its 12 channels and to its weights.
template <class Scalar>
void add_logit_gradient(const Scalar& grad_logit, const Scalar* x, const Scalar* w, Scalar* grad_x,
                        Scalar* grad_w) {
  for (Index c = 0; c < gate_channels; ++c) {
    grad_x[c] += grad_logit * w[c];
    grad_w[c] += grad_logit * x[c];
  }
}

// Throws InputError naming `what` unless x, which a gate reads, is [tokens, C] with C >= 12.
template <class Scalar>
void require_gate_input(const char* what, const Tensor<Scalar>& x, Index tokens) {
  if (x.shape().size() != 2 || x.dim(0) != tokens || x.dim(1) < gate_channels) {
    throw InputError(std::string(what) + ": expected " + std::to_string(tokens) +
                     " tokens of at least " + std::to_string(gate_channels) + " channels, got " +
                     to_string(x.shape()));
  }
}

}  // namespace pairedhead::reference
