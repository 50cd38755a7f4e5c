#include "reference/optim/variance_reduction.h"

#include <cmath>
#include <utility>

#include "reference/dot.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using pairedhead::sqrt;
using std::sqrt;

template <class Scalar>
Scalar at_least(const Scalar& value, double least) {
  return value < Scalar(least) ? Scalar(least) : value;
}

// Mean square of each row.
template <class Scalar>
Tensor<Scalar> mean_squares(const Tensor<Scalar>& x) {
  const Index rows = x.dim(0), columns = x.dim(1);
  Tensor<Scalar> mean({rows});
  for (Index i = 0; i < rows; ++i) {
    Scalar squares = dot(&x(i, 0), &x(i, 0), columns);
    if (mutated(Mutant::variance_of_columns)) {
      squares = Scalar(0.0);
      for (Index j = 0; j < columns; ++j) squares += x[j * rows + i] * x[j * rows + i];
    }
    mean[i] = squares / Scalar(static_cast<double>(columns));
  }
  return mean;
}

}  // namespace

template <class Scalar>
VarianceReduction<Scalar> variance_reduction(Tensor<Scalar> direction,
                                             const Tensor<Scalar>& second_moment,
                                             Rounding rounding) {
  require_matrix("direction", direction);
  const Index rows = direction.dim(0), columns = direction.dim(1);
  require_shape("second_moment", second_moment, {rows});
  constexpr double beta2 = 0.95, least = 1e-10;

  const Tensor<Scalar> mean = mean_squares(direction);
  VarianceReduction<Scalar> result{std::move(direction), Tensor<Scalar>({rows})};
  Tensor<Scalar> inverse({rows});  // s_i
  Scalar before(0.0), after(0.0);  // N^2 / n, N'^2 / n
  for (Index i = 0; i < rows; ++i) {
    const Scalar added = Scalar(1 - beta2) * mean[i];
    result.second_moment[i] = Scalar(beta2) * second_moment[i] + added;
    if (mutated(Mutant::variance_added_whole)) result.second_moment[i] += mean[i] - added;
    const Scalar& used =
        mutated(Mutant::variance_before_update) ? second_moment[i] : result.second_moment[i];
    inverse[i] = Scalar(1.0) / sqrt(at_least(used, least));
    before += mean[i];
    after += mean[i] * inverse[i] * inverse[i];
  }
  const Scalar n(static_cast<double>(columns));
  Scalar rescale = sqrt(n * before) / at_least(sqrt(n * after), least);
  if (mutated(Mutant::variance_norm_not_restored)) rescale = Scalar(1.0);
  for (Index i = 0; i < rows; ++i) {
    const Scalar factor = rounding.bf16(inverse[i] * rescale);
    for (Index j = 0; j < columns; ++j) result.direction(i, j) *= factor;
  }
  return result;
}

#define INSTANTIATE(Scalar)                                                                    \
  template VarianceReduction<Scalar> variance_reduction(Tensor<Scalar>, const Tensor<Scalar>&, \
                                                        Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
