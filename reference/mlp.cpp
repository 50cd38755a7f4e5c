#include "reference/mlp.h"

#include <utility>

#include "reference/linear.h"
#include "reference/matrix_product.h"
#include "reference/mutant.h"
#include "reference/relu_squared.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
Tensor<Scalar> misread(const Tensor<Scalar>& c_proj) {
  const Index rows = c_proj.dim(0), columns = c_proj.dim(1);
  Tensor<Scalar> transposed(c_proj.shape());
  for (Index j = 0; j < rows; ++j) {
    for (Index n = 0; n < columns; ++n) transposed(j, n) = c_proj[n * rows + j];
  }
  return transposed;
}

// h c_proj
template <class Scalar>
Tensor<Scalar> projected(const Tensor<Scalar>& h, const Tensor<Scalar>& c_proj) {
  if (mutated(Mutant::mlp_projection_read_transposed)) return times(h, misread(c_proj));
  return times(h, c_proj);
}

// g c_proj^T
template <class Scalar>
Tensor<Scalar> projected_back(const Tensor<Scalar>& g, const Tensor<Scalar>& c_proj) {
  if (mutated(Mutant::mlp_projection_read_transposed)) return times_transposed(g, misread(c_proj));
  return times_transposed(g, c_proj);
}

template <class Scalar>
MlpTape<Scalar> hidden(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc, Rounding rounding) {
  Tensor<Scalar> p = rounding.bf16(linear(a, c_fc));
  Tensor<Scalar> h = rounding.bf16(relu_squared(p));
  return {std::move(p), std::move(h), rounding};
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
                   const Tensor<Scalar>& c_proj, Rounding rounding, MlpTape<Scalar>& tape) {
  check(a, c_fc, c_proj);
  tape = hidden(a, c_fc, rounding);
  return projected(tape.h, c_proj);
}

template <class Scalar>
MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                                  const Tensor<Scalar>& c_proj, const Tensor<Scalar>& grad_out,
                                  const MlpTape<Scalar>& tape) {
  check(a, c_fc, c_proj);
  require_shape("grad_out", grad_out, a.shape());
  Rounding rounding = tape.rounding;
  const Tensor<Scalar> grad_h = rounding.bf16(projected_back(grad_out, c_proj));
  Tensor<Scalar> grad_p = rounding.bf16(relu_squared_backward(tape.p, grad_h));
  if (mutated(Mutant::mlp_backward_without_relu)) grad_p = grad_h;
  LinearGradients<Scalar> grad = linear_backward(a, c_fc, grad_p);
  return {std::move(grad.x), std::move(grad.w), transposed_times(tape.h, grad_out)};
}

template <class Scalar>
Tensor<Scalar> mlp(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                   const Tensor<Scalar>& c_proj, Rounding rounding) {
  MlpTape<Scalar> tape;
  return mlp(a, c_fc, c_proj, rounding, tape);
}

template <class Scalar>
MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                                  const Tensor<Scalar>& c_proj, const Tensor<Scalar>& grad_out,
                                  Rounding rounding) {
  check(a, c_fc, c_proj);
  return mlp_backward(a, c_fc, c_proj, grad_out, hidden(a, c_fc, rounding));
}

#define INSTANTIATE(Scalar)                                                                        \
  template Tensor<Scalar> mlp(const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, \
                              Rounding, MlpTape<Scalar>&);                                         \
  template Tensor<Scalar> mlp(const Tensor<Scalar>&, const Tensor<Scalar>&, const Tensor<Scalar>&, \
                              Rounding);                                                           \
  template MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>&, const Tensor<Scalar>&,         \
                                             const Tensor<Scalar>&, const Tensor<Scalar>&,         \
                                             const MlpTape<Scalar>&);                              \
  template MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>&, const Tensor<Scalar>&,         \
                                             const Tensor<Scalar>&, const Tensor<Scalar>&,         \
                                             Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
