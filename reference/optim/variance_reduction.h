#pragma once

#include "reference/rounding.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §6.1.5: rows of the orthogonalised direction are divided by the running root of their mean
// square, and the whole is brought back to the Frobenius norm that it had.
template <class Scalar>
struct VarianceReduction {
  Tensor<Scalar> direction;      // [rows, columns]
  Tensor<Scalar> second_moment;  // S, [rows]: 0.95 * S + 0.05 * mean square of the row
};

// direction O: [rows, columns]; second_moment S: [rows], 0 at first. The new S divides. M point:
// the factor of a row. Throws InputError on other shapes.
template <class Scalar>
VarianceReduction<Scalar> variance_reduction(Tensor<Scalar> direction,
                                             const Tensor<Scalar>& second_moment,
                                             Rounding rounding);

}  // namespace pairedhead::reference
