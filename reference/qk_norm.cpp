#include "reference/qk_norm.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using pairedhead::sqrt;
using std::sqrt;

// (mean x^2 + epsilon)^(-1/2) over `count` channels.
template <class Scalar>
Scalar inverse_rms(const Scalar* x, Index count) {
  Scalar squares(0);
  for (Index d = 0; d < count; ++d) squares += x[d] * x[d];
  Scalar mean = squares / Scalar(static_cast<double>(count));
  if (mutated(Mutant::norm_sum_not_mean)) mean = squares;
  const double epsilon = mutated(Mutant::norm_epsilon_of_bf16) ? 0x1p-7 : rms_epsilon;
  return Scalar(1) / sqrt(mean + Scalar(epsilon));
}

// The same for one head of a token.
template <class Scalar>
Scalar inverse_rms_of(const Tensor<Scalar>& x, Index token, Index head) {
  if (mutated(Mutant::norm_over_all_heads))
    return inverse_rms(&x(token, 0, 0), x.dim(1) * x.dim(2));
  return inverse_rms(&x(token, head, 0), x.dim(2));
}

}  // namespace

template <class Scalar>
Tensor<Scalar> qk_norm(const Tensor<Scalar>& x) {
  require_heads("x", x);
  Tensor<Scalar> y(x.shape());
  for (Index t = 0; t < x.dim(0); ++t) {
    for (Index h = 0; h < x.dim(1); ++h) {
      const Scalar r = inverse_rms_of(x, t, h);
      for (Index d = 0; d < x.dim(2); ++d) y(t, h, d) = r * x(t, h, d);
    }
  }
  return y;
}

template <class Scalar>
Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y) {
  require_heads("x", x);
  require_shape("grad_y", grad_y, x.shape());
  const Index head_dim = x.dim(2);
  Tensor<Scalar> grad_x(x.shape());
  for (Index t = 0; t < x.dim(0); ++t) {
    for (Index h = 0; h < x.dim(1); ++h) {
      const Scalar r = inverse_rms_of(x, t, h);
      Scalar projection(0);
      for (Index d = 0; d < head_dim; ++d) projection += grad_y(t, h, d) * (r * x(t, h, d));
      projection = projection / Scalar(static_cast<double>(head_dim));
      if (mutated(Mutant::norm_backward_without_projection)) projection = Scalar(0);
      for (Index d = 0; d < head_dim; ++d) {
        grad_x(t, h, d) = r * (grad_y(t, h, d) - r * x(t, h, d) * projection);
      }
    }
  }
  return grad_x;
}

#define INSTANTIATE(Scalar)                               \
  template Tensor<Scalar> qk_norm(const Tensor<Scalar>&); \
  template Tensor<Scalar> qk_norm_backward(const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
