#pragma once

#include "golden/array.h"
#include "reference/random.h"

namespace pairedhead {

// What the rows that orthogonalise share.

// An fp32 matrix without a small singular value, where the rounding of five iterations would be
// chaotic: a multiple of the identity, disturbed.
Array well_conditioned(const Shape& shape, Random random);

// The a_i of polar_express of a direction: the terms of the last iteration. The rounding to bf16
// before it outweighs what fp32 sums add, while the absolute values of five iterations together
// would allow anything.
Tensor<double> polar_express_terms(const Tensor<double>& direction, bool fused);

}  // namespace pairedhead
