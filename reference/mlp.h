#pragma once

#include "reference/rounding.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.8: out = relu_squared(Lin(a, c_fc)) * c_proj, c_proj as stored (hidden x out, not the
// [out, in] of other weights). a, out: [T, C]; c_fc, c_proj: [F, C].
// M points: p = Lin(a, c_fc), h = relu_squared(p). Throws InputError on shapes that do not fit.
template <class Scalar>
Tensor<Scalar> mlp(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                   const Tensor<Scalar>& c_proj, Rounding rounding);

template <class Scalar>
struct MlpGradients {
  Tensor<Scalar> a, c_fc, c_proj;  // [T, C], [F, C], [F, C]
};
// SPEC §5 "c_proj", "relu^2". grad_out: [T, C]. M points: p and h of the forward pass, made again
// from its inputs, dh and dp.
template <class Scalar>
MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                                  const Tensor<Scalar>& c_proj, const Tensor<Scalar>& grad_out,
                                  Rounding rounding);

// The same two for whoever keeps what the first has made until the second reads it.
template <class Scalar>
struct MlpTape {
  Tensor<Scalar> p, h;                    // [T, F]
  Rounding rounding = Rounding::exact();  // what draws on after them
};
template <class Scalar>
Tensor<Scalar> mlp(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                   const Tensor<Scalar>& c_proj, Rounding rounding, MlpTape<Scalar>& tape);
template <class Scalar>
MlpGradients<Scalar> mlp_backward(const Tensor<Scalar>& a, const Tensor<Scalar>& c_fc,
                                  const Tensor<Scalar>& c_proj, const Tensor<Scalar>& grad_out,
                                  const MlpTape<Scalar>& tape);

}  // namespace pairedhead::reference
