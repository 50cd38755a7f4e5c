#pragma once

#include "reference/rotary.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// The composition that the trainer launches as one kernel (SPEC §3.6.2-4, §12.1 "fused kernels by a
// name of their own"): QK norm, rotary, key shift, on query and key together. The switches isolate
// each piece; all M points lie at its boundary.
struct QkPrepareSettings {
  bool normalise = true;
  bool paired = false;  // which rotary table layout, see rotary_apply
  bool shift_keys = false;
};

template <class Scalar>
struct QueryKey {
  Tensor<Scalar> query, key;  // [T, H, D]
};

template <class Scalar>
QueryKey<Scalar> qk_prepare(const QueryKey<Scalar>& raw, const Tensor<Scalar>& cosine,
                            const Tensor<Scalar>& sine, const QkPrepareSettings& settings);

template <class Scalar>
QueryKey<Scalar> qk_prepare_backward(const QueryKey<Scalar>& raw, QueryKey<Scalar> grad,
                                     const Tensor<Scalar>& cosine, const Tensor<Scalar>& sine,
                                     const QkPrepareSettings& settings);

}  // namespace pairedhead::reference
