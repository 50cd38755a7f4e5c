#include "reference/lambda_linear.h"

#include <utility>

#include "reference/dot.h"
#include "reference/linear.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
Tensor<Scalar> scaled(const Scalar& factor, Tensor<Scalar> x) {
  for (Scalar& value : x.values()) value *= factor;
  return x;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> lambda_linear(const Tensor<Scalar>& a, Tensor<Scalar> w, const Scalar& lambda,
                             Rounding rounding) {
  return linear(a, rounding.bf16(scaled(lambda, std::move(w))));
}

template <class Scalar>
LambdaLinearGradients<Scalar> lambda_linear_backward(const Tensor<Scalar>& a,
                                                     const Tensor<Scalar>& w, const Scalar& lambda,
                                                     const Tensor<Scalar>& grad_u,
                                                     Rounding rounding) {
  const Tensor<Scalar> scaled_w = rounding.bf16(scaled(lambda, w));
  LinearGradients<Scalar> grad =
      linear_backward(a, mutated(Mutant::lambda_missing_in_input_gradient) ? w : scaled_w, grad_u);
  grad.w = rounding.bf16(std::move(grad.w));
  const Scalar grad_lambda =
      dot(grad.w, mutated(Mutant::lambda_gradient_of_scaled_weight) ? scaled_w : w);
  if (!mutated(Mutant::lambda_missing_in_weight_gradient)) {
    grad.w = scaled(lambda, std::move(grad.w));
  }
  return {std::move(grad.x), std::move(grad.w), grad_lambda};
}

#define INSTANTIATE(Scalar)                                                                   \
  template Tensor<Scalar> lambda_linear(const Tensor<Scalar>&, Tensor<Scalar>, const Scalar&, \
                                        Rounding);                                            \
  template LambdaLinearGradients<Scalar> lambda_linear_backward(                              \
      const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&, const Tensor<Scalar>&,     \
      Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
