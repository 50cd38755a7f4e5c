#include "reference/qk_prepare.h"

#include <utility>

#include "reference/key_shift.h"
#include "reference/mutant.h"
#include "reference/qk_norm.h"
#include "reference/scalar.h"

namespace pairedhead::reference {

template <class Scalar>
QueryKey<Scalar> qk_prepare(const QueryKey<Scalar>& raw, const Tensor<Scalar>& cosine,
                            const Tensor<Scalar>& sine, const QkPrepareSettings& settings) {
  require_shape("key", raw.key, raw.query.shape());
  QueryKey<Scalar> prepared = raw;
  if (settings.normalise) {
    prepared.query = qk_norm(prepared.query);
    if (!mutated(Mutant::prepare_leaves_keys_unnormalised)) prepared.key = qk_norm(prepared.key);
  }
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
QueryKey<Scalar> qk_prepare_backward(const QueryKey<Scalar>& raw, const QueryKey<Scalar>& grad,
                                     const Tensor<Scalar>& cosine, const Tensor<Scalar>& sine,
                                     const QkPrepareSettings& settings) {
  require_shape("key", raw.key, raw.query.shape());
  require_shape("grad_query", grad.query, raw.query.shape());
  require_shape("grad_key", grad.key, raw.query.shape());
  QueryKey<Scalar> result = grad;
  if (settings.shift_keys && !mutated(Mutant::prepare_backward_skips_shift)) {
    result.key = key_shift_backward(result.key);
  }
  result.query = rotary_apply_backward(result.query, cosine, sine, settings.paired);
  result.key = rotary_apply_backward(result.key, cosine, sine, settings.paired);
  if (settings.normalise) {
    result.query = qk_norm_backward(raw.query, result.query);
    result.key = qk_norm_backward(raw.key, result.key);
  }
  return result;
}

#define INSTANTIATE(Scalar)                                                                       \
  template QueryKey<Scalar> qk_prepare(const QueryKey<Scalar>&, const Tensor<Scalar>&,            \
                                       const Tensor<Scalar>&, const QkPrepareSettings&);          \
  template QueryKey<Scalar> qk_prepare_backward(const QueryKey<Scalar>&, const QueryKey<Scalar>&, \
                                                const Tensor<Scalar>&, const Tensor<Scalar>&,     \
                                                const QkPrepareSettings&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
