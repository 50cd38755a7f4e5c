#include "reference/qk_prepare.h"

#include <utility>

#include "reference/key_shift.h"
#include "reference/mutant.h"
#include "reference/qk_norm.h"
#include "reference/scalar.h"

namespace pairedhead::reference {

namespace {

template <class Scalar>
QueryKey<Scalar> normalised(const QueryKey<Scalar>& raw) {
  if (mutated(Mutant::prepare_leaves_keys_unnormalised)) return {qk_norm(raw.query), raw.key};
  return {qk_norm(raw.query), qk_norm(raw.key)};
}

}  // namespace

template <class Scalar>
QueryKey<Scalar> qk_prepare(const QueryKey<Scalar>& raw, const Tensor<Scalar>& cosine,
                            const Tensor<Scalar>& sine, const QkPrepareSettings& settings) {
  require_shape("key", raw.key, raw.query.shape());
  QueryKey<Scalar> prepared = settings.normalise ? normalised(raw) : raw;
  const bool shift_first = settings.shift_keys && mutated(Mutant::shift_before_rotary);
  if (shift_first) prepared.key = key_shift(prepared.key);
  prepared.query = rotary_apply(prepared.query, cosine, sine, settings.paired);
  prepared.key = rotary_apply(prepared.key, cosine, sine, settings.paired);
  if (settings.shift_keys && !shift_first) prepared.key = key_shift(prepared.key);
  if (settings.shift_keys && mutated(Mutant::prepare_shifts_queries)) {
    prepared.query = key_shift(prepared.query);
  }
  return prepared;
}

template <class Scalar>
QueryKey<Scalar> qk_prepare_backward(const QueryKey<Scalar>& raw, QueryKey<Scalar> grad,
                                     const Tensor<Scalar>& cosine, const Tensor<Scalar>& sine,
                                     const QkPrepareSettings& settings) {
  require_shape("key", raw.key, raw.query.shape());
  require_shape("grad_query", grad.query, raw.query.shape());
  require_shape("grad_key", grad.key, raw.query.shape());
  if (settings.shift_keys && !mutated(Mutant::prepare_backward_skips_shift)) {
    grad.key = key_shift_backward(grad.key);
  }
  grad.query = rotary_apply_backward(grad.query, cosine, sine, settings.paired);
  grad.key = rotary_apply_backward(grad.key, cosine, sine, settings.paired);
  if (settings.normalise) {
    grad.query = qk_norm_backward(raw.query, grad.query);
    grad.key = qk_norm_backward(raw.key, grad.key);
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                   \
  template QueryKey<Scalar> qk_prepare(const QueryKey<Scalar>&, const Tensor<Scalar>&,        \
                                       const Tensor<Scalar>&, const QkPrepareSettings&);      \
  template QueryKey<Scalar> qk_prepare_backward(const QueryKey<Scalar>&, QueryKey<Scalar>,    \
                                                const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                                const QkPrepareSettings&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
