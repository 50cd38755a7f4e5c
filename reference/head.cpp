#include "reference/head.h"

#include "reference/fp8.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

double value_of(double x) { return x; }
double value_of(const Magnitude& x) { return x.value; }
double value_of(const Dual& x) { return x.value; }
double value_of(Float128 x) { return static_cast<double>(x); }

// format(x / scale), the codes' values.
template <class Scalar>
Tensor<Scalar> quantised(const Tensor<Scalar>& x, float scale, DType format) {
  Tensor<double> values(x.shape());
  for (Index i = 0; i < x.size(); ++i) values[i] = value_of(x[i]);
  return cast<Scalar>(quantise_fp8(values, scale, format));
}

template <class Scalar>
Tensor<Scalar> quantised_activation(const Tensor<Scalar>& x) {
  return quantised(x, fp8_activation_scale, DType::e4m3);
}

template <class Scalar>
Tensor<Scalar> quantised_weight(const Tensor<Scalar>& w) {
  return quantised(w, fp8_weight_scale, DType::e4m3);
}

template <class Scalar>
Tensor<Scalar> quantised_gradient(const Tensor<Scalar>& g) {
  const DType format = mutated(Mutant::head_gradient_in_e4m3) ? DType::e4m3 : DType::e5m2;
  const float scale = mutated(Mutant::head_gradient_scale_omitted) ? 0.75f : fp8_gradient_scale;
  return quantised(g, scale, format);
}

template <class Scalar>
Tensor<Scalar> scaled(Tensor<Scalar> x, float first, float second) {
  const Scalar factor(static_cast<double>(first) * static_cast<double>(second));
  for (Scalar& value : x.values()) value *= factor;
  return x;
}

}  // namespace

HeadForm head_form(HeadForm chosen, bool validation) {
  if (mutated(Mutant::validation_head_is_fp8)) return chosen;
  return validation ? HeadForm::bf16 : chosen;
}

template <class Scalar>
Tensor<Scalar> head(const Tensor<Scalar>& x, const Tensor<Scalar>& lm_head, HeadForm form) {
  if (form == HeadForm::bf16) return linear(x, lm_head);
  return scaled(linear(quantised_activation(x), quantised_weight(lm_head)), fp8_activation_scale,
                fp8_weight_scale);
}

template <class Scalar>
LinearGradients<Scalar> head_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& lm_head,
                                      const Tensor<Scalar>& grad_z, HeadForm form) {
  if (form == HeadForm::bf16) return linear_backward(x, lm_head, grad_z);
  LinearGradients<Scalar> grad = linear_backward(quantised_activation(x), quantised_weight(lm_head),
                                                 quantised_gradient(grad_z));
  const float other =
      mutated(Mutant::head_gradient_scales_exchanged) ? fp8_activation_scale : fp8_weight_scale;
  grad.x = scaled(std::move(grad.x), fp8_gradient_scale, other);
  grad.w = scaled(std::move(grad.w), fp8_activation_scale, fp8_gradient_scale);
  return grad;
}

Tensor<double> head_gradient_codes(const Tensor<double>& grad_z) {
  Tensor<double> stored = grad_z;
  if (!mutated(Mutant::head_gradient_rounded_once)) {
    for (double& value : stored.values()) value = round_to(DType::bf16, value);
  }
  return quantised_gradient(stored);
}

#define INSTANTIATE(Scalar)                                                                    \
  template Tensor<Scalar> head(const Tensor<Scalar>&, const Tensor<Scalar>&, HeadForm);        \
  template LinearGradients<Scalar> head_backward(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                                 const Tensor<Scalar>&, HeadForm);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
