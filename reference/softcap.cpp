#include "reference/softcap.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

constexpr double range = 23, offset = 5, divisor = 7.5;

}  // namespace

template <class Scalar>
Scalar softcapped(const Scalar& z) {
  const double shift = mutated(Mutant::softcap_offset_sign) ? -offset : offset;
  const Scalar u = (z + Scalar(shift)) / Scalar(divisor);
  if (mutated(Mutant::softcap_thirty_tanh)) {
    const Scalar s = sigmoid(z / Scalar(15));  // 30 tanh(z / 30) = 60 sig(z / 15) - 30
    return Scalar(60) * s - Scalar(30);
  }
  return Scalar(range) * sigmoid(u);
}

template <class Scalar>
Scalar softcap_slope(const Scalar& l) {
  if (mutated(Mutant::softcap_slope_without_divisor))
    return l * (Scalar(range) - l) / Scalar(range);
  return l * (Scalar(range) - l) / Scalar(range * divisor);
}

template <class Scalar>
Tensor<Scalar> softcap(const Tensor<Scalar>& z) {
  Tensor<Scalar> l(z.shape());
  for (Index i = 0; i < z.size(); ++i) l[i] = softcapped(z[i]);
  return l;
}

template <class Scalar>
Tensor<Scalar> softcap_backward(const Tensor<Scalar>& z, const Tensor<Scalar>& grad_l) {
  require_shape("grad_l", grad_l, z.shape());
  Tensor<Scalar> grad_z(z.shape());
  for (Index i = 0; i < z.size(); ++i) grad_z[i] = grad_l[i] * softcap_slope(softcapped(z[i]));
  return grad_z;
}

#define INSTANTIATE(Scalar)                               \
  template Scalar softcapped(const Scalar&);              \
  template Scalar softcap_slope(const Scalar&);           \
  template Tensor<Scalar> softcap(const Tensor<Scalar>&); \
  template Tensor<Scalar> softcap_backward(const Tensor<Scalar>&, const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
