#include "reference/optim/momentum.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {

template <class Scalar>
Momentum<Scalar> momentum_update(const Tensor<Scalar>& gradient, const Tensor<Scalar>& moment,
                                 double mu) {
  require_shape("moment", moment, gradient.shape());
  const Scalar kept(mu);
  const Scalar added(mutated(Mutant::momentum_adds_whole_gradient) ? 1 : 1 - mu);
  Momentum<Scalar> result{Tensor<Scalar>::unwritten(gradient.shape()),
                          Tensor<Scalar>::unwritten(gradient.shape())};
  for (Index i = 0; i < gradient.size(); ++i) {
    const Scalar& g = gradient[i];
    result.moment[i] = kept * moment[i] + added * g;
    const Scalar& ahead = mutated(Mutant::nesterov_with_old_moment) ? moment[i] : result.moment[i];
    result.direction[i] = added * g + kept * ahead;
    if (mutated(Mutant::momentum_without_look_ahead)) result.direction[i] = result.moment[i];
  }
  return result;
}

#define INSTANTIATE(Scalar) \
  template Momentum<Scalar> momentum_update(const Tensor<Scalar>&, const Tensor<Scalar>&, double);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
