#include "reference/softcap.h"

#include "reference/exponentials.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

constexpr double range = 23, offset = 5, divisor = 7.5;

}  // namespace

template <class Scalar>
void softcap_row(Scalar* z, Index count) {
  if (mutated(Mutant::softcap_thirty_tanh)) {
    for (Index i = 0; i < count; ++i) {
      const Scalar s = sigmoid(z[i] / Scalar(15));  // 30 tanh(z / 30) = 60 sig(z / 15) - 30
      z[i] = Scalar(60) * s - Scalar(30);
    }
    return;
  }
  const double shift = mutated(Mutant::softcap_offset_sign) ? -offset : offset;
  for (Index i = 0; i < count; ++i) z[i] = -((z[i] + Scalar(shift)) / Scalar(divisor));
  exponentials(z, count);
  for (Index i = 0; i < count; ++i) z[i] = Scalar(range) * (Scalar(1) / (Scalar(1) + z[i]));
}

template <class Scalar>
Scalar softcapped(const Scalar& z) {
  Scalar l = z;
  softcap_row(&l, 1);
  return l;
}

template <class Scalar>
void softcap_slope_row(Scalar* l, Index count) {
  const double below = mutated(Mutant::softcap_slope_without_divisor) ? range : range * divisor;
  for (Index i = 0; i < count; ++i) l[i] = l[i] * (Scalar(range) - l[i]) / Scalar(below);
}

template <class Scalar>
Scalar softcap_slope(const Scalar& l) {
  Scalar slope = l;
  softcap_slope_row(&slope, 1);
  return slope;
}

template <class Scalar>
Tensor<Scalar> softcap(const Tensor<Scalar>& z) {
  Tensor<Scalar> l = z;
  softcap_row(l.data(), l.size());
  return l;
}

template <class Scalar>
Tensor<Scalar> softcap_backward(const Tensor<Scalar>& z, const Tensor<Scalar>& grad_l) {
  require_shape("grad_l", grad_l, z.shape());
  Tensor<Scalar> grad_z = softcap(z);
  softcap_slope_row(grad_z.data(), grad_z.size());
  for (Index i = 0; i < z.size(); ++i) grad_z[i] = grad_l[i] * grad_z[i];
  return grad_z;
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in them.
#define INSTANTIATE(Scalar)                               \
  template void softcap_row(Scalar*, Index);              \
  template Scalar softcapped(const Scalar&);              \
  template void softcap_slope_row(Scalar*, Index);        \
  template Scalar softcap_slope(const Scalar&);           \
  template Tensor<Scalar> softcap(const Tensor<Scalar>&); \
  template Tensor<Scalar> softcap_backward(const Tensor<Scalar>&, const Tensor<Scalar>&);
// NOLINTEND(bugprone-macro-parentheses)
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
