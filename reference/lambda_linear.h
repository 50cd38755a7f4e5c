#pragma once

#include <type_traits>

#include "reference/rounding.h"
#include "reference/rows.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.6.1, §3.6.8: u = Lin(a, W'), W' = lambda * w. a: [T, K]; w: [N, K]; u: [T, N]; lambda
// fp32. M point: W'. Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> lambda_linear(const Tensor<Scalar>& a,
                             const std::type_identity_t<RowView<Scalar>>& w, const Scalar& lambda,
                             Rounding rounding);

template <class Scalar>
struct LambdaLinearGradients {
  Tensor<Scalar> a;  // [T, K]
  Scalar lambda;
};
// SPEC §5 "lambda-scaled linear": da = g W'; dW' = g^T a; dw = lambda dW'; d(lambda) = <dW', w>.
// grad_u: [T, N]. dw is written to grad_w, [N, K], rows of the gradient of the bank that w is rows
// of. M points: W' as in the forward pass, dW'.
template <class Scalar>
LambdaLinearGradients<Scalar> lambda_linear_backward(
    const Tensor<Scalar>& a, const std::type_identity_t<RowView<Scalar>>& w, const Scalar& lambda,
    const Tensor<Scalar>& grad_u, Rounding rounding,
    const std::type_identity_t<RowSpan<Scalar>>& grad_w);

}  // namespace pairedhead::reference
