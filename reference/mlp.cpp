#include "reference/mlp.h"

#include "reference/linear.h"
#include "reference/matrix_product.h"
#include "reference/mutant.h"
#include "reference/relu_squared.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

// c_proj as the products read it.
template <class Scalar>
Tensor<Scalar> projection(const Tensor<Scalar>& c_proj) {
  if (!mutated(Mutant::mlp_projection_read_transposed)) return c_proj;
  const Index rows = c_proj.dim(0), columns = c_proj.dim(1);
  Tensor<Scalar> misread(c_proj.shape());
  for (Index j = 0; j < rows; ++j) {
    for (Index n = 0; n < columns; ++n) misread(j, n) = c_proj[n * rows + j];
  }
  return misread;
}

template <class Scalar>
void check(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc, const Tensor<Scalar>& c_proj) {
  require_matrix("a", a);
  require_matrix("c_fc", c_fc);
  require_shape("c_fc", c_fc, {c_fc.dim(0), a.dim(1)});
  require_shape("c_proj", c_proj, c_fc.shape());
}

}  // namespace

template <class Scalar>
Tensor<Scalar> mlp(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                   const Tensor<Scalar>& c_proj, Rounding rounding) {
  check(a, c_fc, c_proj);
  const Tensor<Scalar> p = rounding.bf16(linear(a, c_fc));
  return times(rounding.bf16(relu_squared(p)), projection(c_proj));
}

template <class Scalar>
MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                                  const Tensor<Scalar>& c_proj, const Tensor<Scalar>& grad_out,
                                  Rounding rounding) {
  check(a, c_fc, c_proj);
  require_shape("grad_out", grad_out, a.shape());
  const Tensor<Scalar> p = rounding.bf16(linear(a, c_fc));
  const Tensor<Scalar> h = rounding.bf16(relu_squared(p));
  const Tensor<Scalar> grad_h = rounding.bf16(times_transposed(grad_out, projection(c_proj)));
  Tensor<Scalar> grad_p = rounding.bf16(relu_squared_backward(p, grad_h));
  if (mutated(Mutant::mlp_backward_without_relu)) grad_p = grad_h;
  LinearGradients<Scalar> grad = linear_backward(a, c_fc, grad_p);
  return {std::move(grad.x), std::move(grad.w), transposed_times(h, grad_out)};
}

#define INSTANTIATE(Scalar)                                                                        \
  template Tensor<Scalar> mlp(const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, \
                              Rounding);                                                           \
  template MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>&, const Tensor<Scalar>&,         \
                                             const Tensor<Scalar>&, const Tensor<Scalar>&,         \
                                             Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
