#include "reference/rms_norm.h"

#include "reference/dot.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using pairedhead::sqrt;
using std::sqrt;

template <class Scalar>
Index row_length(const Tensor<Scalar>& x) {
  if (x.shape().empty() || x.size() == 0) {
    throw InputError("x: expected rows of at least one element, got " + to_string(x.shape()));
  }
  return mutated(Mutant::rms_norm_over_all_tokens) ? x.size() : x.shape().back();
}

template <class Scalar>
Scalar mean_of(const Scalar& sum, Index count) {
  return sum / Scalar(static_cast<double>(count));
}

// (mean x^2 + epsilon)^(-1/2) over `count` channels.
template <class Scalar>
Scalar inverse_rms(const Scalar* x, Index count) {
  const Scalar squares = dot(x, x, count);
  const Scalar mean = mutated(Mutant::norm_sum_not_mean) ? squares : mean_of(squares, count);
  const double epsilon = mutated(Mutant::norm_epsilon_of_bf16) ? 0x1p-7 : rms_epsilon;
  return Scalar(1) / sqrt(mean + Scalar(epsilon));
}

}  // namespace

template <class Scalar>
Tensor<Scalar> rms_norm(const Tensor<Scalar>& x) {
  const Index count = row_length(x);
  auto y = Tensor<Scalar>::unwritten(x.shape());
  for (Index row = 0; row < x.size(); row += count) {
    const Scalar r = inverse_rms(&x[row], count);
    Scalar centre(0);
    if (mutated(Mutant::rms_norm_subtracts_mean)) {
      for (Index c = 0; c < count; ++c) centre += mean_of(x[row + c], count);
    }
    for (Index c = 0; c < count; ++c) y[row + c] = r * (x[row + c] - centre);
  }
  return y;
}

template <class Scalar>
Tensor<Scalar> rms_norm_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& grad_y) {
  const Index count = row_length(x);
  require_shape("grad_y", grad_y, x.shape());
  auto grad_x = Tensor<Scalar>::unwritten(x.shape());
  for (Index row = 0; row < x.size(); row += count) {
    const Scalar r = inverse_rms(&x[row], count);
    Scalar projection = mean_of(r * dot(&grad_y[row], &x[row], count), count);
    if (mutated(Mutant::norm_backward_without_projection)) projection = Scalar(0);
    for (Index c = 0; c < count; ++c) {
      grad_x[row + c] = r * (grad_y[row + c] - r * x[row + c] * projection);
    }
  }
  return grad_x;
}

#define INSTANTIATE(Scalar)                                \
  template Tensor<Scalar> rms_norm(const Tensor<Scalar>&); \
  template Tensor<Scalar> rms_norm_backward(const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
