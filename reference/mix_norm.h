#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// The entry of a layer, which the trainer launches as one kernel (SPEC §3.3.1-3, §12.1 "fused
// kernels by a name of their own"): the skip where the layer has one, the mix, and the norm behind
// it.
template <class Scalar>
struct MixNormInputs {
  Tensor<Scalar> x, x0;  // [T, C], C >= 12
  Scalar rho, lam;
  bool skips = false;  // what follows is read only then
  Tensor<Scalar> x_skip = {};
  Tensor<Scalar> w = {};  // [1, 12]
  Scalar theta = Scalar(0);
};

template <class Scalar>
struct MixNorm {
  Tensor<Scalar> mixed, a;  // [T, C]
};
// mixed = rho (x + skip) + lam x0, a = rms(mixed). No M point lies between them: a is made of
// `mixed` before it is rounded. Throws InputError on shapes that do not fit.
template <class Scalar>
MixNorm<Scalar> mix_norm(const MixNormInputs<Scalar>& in);

// What reaches it: the gradients of both outputs, of the first 12 channels of a from the gates, and
// what x and x0 have got from later layers. An empty tensor stands for nothing.
template <class Scalar>
struct MixNormIncoming {
  Tensor<Scalar> mixed, a;
  Tensor<Scalar> a_gates = {};  // [T, 12]
  Tensor<Scalar> x_before = {}, x0_before = {};
};

template <class Scalar>
struct MixNormGradients {
  Tensor<Scalar> x, x0;
  Scalar rho, lam;
  Tensor<Scalar> x_skip = {}, w = {};  // empty without a skip
  Scalar theta = Scalar(0);
};
// SPEC §5 "rms_norm", "trunk mix", "skip". No M point: what the norm, the mix and the skip hand on
// are S, and `mixed` is made again. Throws as mix_norm.
template <class Scalar>
MixNormGradients<Scalar> mix_norm_backward(const MixNormInputs<Scalar>& in,
                                           const MixNormIncoming<Scalar>& incoming);

}  // namespace pairedhead::reference
