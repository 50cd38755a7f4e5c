#include "reference/lambda_linear.h"

#include <utility>

#include "reference/dot.h"
#include "reference/linear.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
Tensor<Scalar> scaled(const Scalar& factor, const RowView<Scalar>& x) {
  auto product = Tensor<Scalar>::unwritten(x.shape());
  for (Index i = 0; i < x.size(); ++i) product[i] = x.data()[i] * factor;
  return product;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> lambda_linear(const Tensor<Scalar>& a,
                             const std::type_identity_t<RowView<Scalar>>& w, const Scalar& lambda,
                             Rounding rounding) {
  return linear(a, rounding.bf16(scaled(lambda, w)));
}

template <class Scalar>
LambdaLinearGradients<Scalar> lambda_linear_backward(
    const Tensor<Scalar>& a, const std::type_identity_t<RowView<Scalar>>& w, const Scalar& lambda,
    const Tensor<Scalar>& grad_u, Rounding rounding,
    const std::type_identity_t<RowSpan<Scalar>>& grad_w) {
  require_shape("grad_w", grad_w, w.shape());
  const bool unscaled = mutated(Mutant::lambda_missing_in_input_gradient);
  const Tensor<Scalar> scaled_w = rounding.bf16(scaled(unscaled ? Scalar(1) : lambda, w));
  LinearGradients<Scalar> grad = linear_backward(a, scaled_w, grad_u);
  const Tensor<Scalar> grad_scaled = rounding.bf16(std::move(grad.w));
  const Scalar* const factor =
      mutated(Mutant::lambda_gradient_of_scaled_weight) ? scaled_w.data() : w.data();
  const Scalar grad_lambda = dot(grad_scaled.data(), factor, w.size());
  const bool lost = mutated(Mutant::lambda_missing_in_weight_gradient);
  const Scalar scale = lost ? Scalar(1) : lambda;
  for (Index i = 0; i < w.size(); ++i) grad_w.data()[i] = grad_scaled[i] * scale;
  return {std::move(grad.x), grad_lambda};
}

#define INSTANTIATE(Scalar)                                                                \
  template Tensor<Scalar> lambda_linear(const Tensor<Scalar>&, const RowView<Scalar>&,     \
                                        const Scalar&, Rounding);                          \
  template LambdaLinearGradients<Scalar> lambda_linear_backward(                           \
      const Tensor<Scalar>&, const RowView<Scalar>&, const Scalar&, const Tensor<Scalar>&, \
      Rounding, const RowSpan<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
