#pragma once

#include <algorithm>

#include "golden/array.h"
#include "reference/random.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// What the rows that orthogonalise share.

// An fp32 matrix without a small singular value, where the rounding of five iterations would be
// chaotic: a multiple of the identity, disturbed.
Array well_conditioned(const Shape& shape, Random random);

// The a_i of polar_express of a direction: the terms of the last iteration. The rounding to bf16
// before it outweighs what fp32 sums add, while the absolute values of five iterations together
// would allow anything.
Tensor<double> polar_express_terms(const Tensor<double>& direction, bool fused);

// How many matrices stand one below the other: the parameter `matrices`, 1 where there is none.
Index matrices_of(const Parameters& p);

// `of(matrix, its number)` for each of the matrices that stand one below the other in x.
template <class Function>
Tensor<double> for_each_matrix(const Tensor<double>& x, Index matrices, const Function& of) {
  Tensor<double> result(x.shape());
  const Index count = x.size() / matrices;
  for (Index number = 0; number < matrices; ++number) {
    Tensor<double> matrix({x.dim(0) / matrices, x.dim(1)});
    std::copy_n(x.data() + number * count, count, matrix.data());
    const Tensor<double> value = of(matrix, number);
    std::copy_n(value.data(), count, result.data() + number * count);
  }
  return result;
}

}  // namespace pairedhead
