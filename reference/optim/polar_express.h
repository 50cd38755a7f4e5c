#pragma once

#include <array>

#include "reference/rounding.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §6.1.4: a matrix's singular values are brought near 1, its singular vectors kept. Matrices
// are [rows, columns]; a tall one is worked on transposed, so that X is [m, n] with m <= n, the
// lesser and the greater of rows and columns. Every function throws InputError on what is no
// matrix; all need Scalars double, Magnitude or Float128.

// One iteration takes each singular value s to s * (a + b s^2 + c s^4).
struct PolarCoefficients {
  double a, b, c;
};
inline constexpr std::array<PolarCoefficients, 5> polar_coefficients = {{
    {8.156554524902461, -22.48329292557795, 15.878769915207462},
    {4.042929935166739, -2.808917465908714, 0.5000178451051316},
    {3.8916678022926607, -2.772484153217685, 0.5060648178503393},
    {3.285753657755655, -2.3681294933425376, 0.46449024233003106},
    {2.3465413258596377, -1.7097828382687081, 0.42323551169305323},
}};

// direction [rows, columns] -> X [m, n] = X / (|X|_F * 1.02 + 1e-6). M points: the direction as
// bf16, from which the norm is computed.
template <class Scalar>
Tensor<Scalar> polar_normalise(const Tensor<Scalar>& direction, Rounding rounding);

// X [m, n] -> a X + B X, B = b A + c A A^T, A = X X^T. M points: A, B, and B X where the sum is not
// `fused` into its product (SPEC §6.1.4: fused for attention's matrices, apart for the MLP's).
// Throws InputError where m > n.
template <class Scalar>
Tensor<Scalar> polar_iteration(const Tensor<Scalar>& x, const PolarCoefficients& coefficients,
                               bool fused, Rounding rounding);

// polar_normalise, the five iterations, and the transposition undone: of direction's shape. M
// points: theirs, and X between them.
template <class Scalar>
Tensor<Scalar> polar_express(const Tensor<Scalar>& direction, bool fused, Rounding rounding);

}  // namespace pairedhead::reference
