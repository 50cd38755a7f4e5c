#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// The three products that linear layers and their gradients are made of. No M point inside. Throw
// InputError unless both are matrices that fit. In double, Eigen's; its blocks, and so the order of
// a sum's terms, depend on the processor's caches, but not on the number of threads.
template <class Scalar>  // a * b^T: [R, K], [N, K] -> [R, N]
Tensor<Scalar> times_transposed(const Tensor<Scalar>& a, const Tensor<Scalar>& b);
template <class Scalar>  // a * b: [R, K], [K, N] -> [R, N]
Tensor<Scalar> times(const Tensor<Scalar>& a, const Tensor<Scalar>& b);
template <class Scalar>  // a^T * b: [K, R], [K, N] -> [R, N]
Tensor<Scalar> transposed_times(const Tensor<Scalar>& a, const Tensor<Scalar>& b);

}  // namespace pairedhead::reference
