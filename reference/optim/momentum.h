#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §6.1.1-2: NorMuon's momentum with Nesterov's look ahead. Both of the gradient's shape.
template <class Scalar>
struct Momentum {
  Tensor<Scalar> moment;     // M = mu * M + (1 - mu) * G
  Tensor<Scalar> direction;  // U = (1 - mu) * G + mu * M, with the new M
};

// Throws InputError where the shapes differ.
template <class Scalar>
Momentum<Scalar> momentum_update(const Tensor<Scalar>& gradient, const Tensor<Scalar>& moment,
                                 double mu);

}  // namespace pairedhead::reference
