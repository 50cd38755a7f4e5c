#include "reference/linear.h"

#include "reference/matrix_product.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

// x with zeros in its last column.
template <class Scalar>
Tensor<Scalar> without_last_channel(Tensor<Scalar> x) {
  for (Index t = 0; t < x.dim(0); ++t) x(t, x.dim(1) - 1) = Scalar(0);
  return x;
}

// x with zeros in all rows but the last.
template <class Scalar>
Tensor<Scalar> last_token_only(Tensor<Scalar> x) {
  for (Index i = 0; i < x.size() - x.dim(1); ++i) x[i] = Scalar(0);
  return x;
}

}  // namespace

template <class Scalar>
Tensor<Scalar> linear(const Tensor<Scalar>& x, const Tensor<Scalar>& w) {
  require_matrix("x", x);
  require_matrix("w", w);
  require_shape("w", w, {w.dim(0), x.dim(1)});
  if (mutated(Mutant::linear_skips_last_channel)) {
    return times_transposed(without_last_channel(x), w);
  }
  return times_transposed(x, w);
}

template <class Scalar>
LinearGradients<Scalar> linear_backward(const Tensor<Scalar>& x, const Tensor<Scalar>& w,
                                        const Tensor<Scalar>& grad_y) {
  require_matrix("x", x);
  require_matrix("w", w);
  require_shape("w", w, {w.dim(0), x.dim(1)});
  require_shape("grad_y", grad_y, {x.dim(0), w.dim(0)});
  if (mutated(Mutant::linear_weight_gradient_of_last_token)) {
    return {times(grad_y, w), transposed_times(last_token_only(grad_y), x)};
  }
  return {times(grad_y, w), transposed_times(grad_y, x)};
}

#define INSTANTIATE(Scalar)                                                                      \
  template Tensor<Scalar> linear(const Tensor<Scalar>&, const Tensor<Scalar>&);                  \
  template LinearGradients<Scalar> linear_backward(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                                   const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
