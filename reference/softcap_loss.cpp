#include "reference/softcap_loss.h"

#include <algorithm>
#include <numeric>

#include "reference/exponentials.h"
#include "reference/mutant.h"
#include "reference/rows.h"
#include "reference/scalar.h"
#include "reference/softcap.h"

namespace pairedhead::reference {
namespace {

using pairedhead::log;
using std::log;

// One target of a position and what its term is multiplied by.
struct Term {
  Index target;
  double weight;
};

class Terms {
 public:
  Terms(const std::vector<Index>& targets, const LossSettings& settings)
      : targets_(targets), weights_(settings.mtp_weights) {
    if (settings.validation) weights_ = {1 / static_cast<double>(targets.size())};
    if (mutated(Mutant::mtp_third_weight_dropped) && weights_.size() == 3) weights_.pop_back();
    if (mutated(Mutant::mtp_divided_by_weights)) {
      const double sum = std::accumulate(weights_.begin(), weights_.end(), 0.0);
      for (double& weight : weights_) weight /= sum;
    }
    if (mutated(Mutant::training_loss_is_mean) && !settings.validation) {
      for (double& weight : weights_) weight /= static_cast<double>(targets.size());
    }
    if (mutated(Mutant::validation_loss_is_sum) && settings.validation) weights_ = {1};
  }

  // The horizons of position t that end within the sequence.
  std::vector<Term> at(Index position) const {
    const auto tokens = static_cast<Index>(targets_.size());
    std::vector<Term> terms;
    for (std::size_t k = 0; k < weights_.size(); ++k) {
      Index ahead = position + static_cast<Index>(k);
      if (mutated(Mutant::mtp_tail_wraps)) ahead %= tokens;
      if (ahead < tokens) terms.push_back({targets_[static_cast<std::size_t>(ahead)], weights_[k]});
    }
    return terms;
  }

 private:
  const std::vector<Index>& targets_;
  std::vector<double> weights_;
};

// Whether the target of the k-th term is also that of an earlier one.
bool came_before(const std::vector<Term>& terms, std::size_t k) {
  for (std::size_t i = 0; i < k; ++i) {
    if (terms[i].target == terms[k].target) return true;
  }
  return false;
}

template <class Scalar>
void check(const Tensor<Scalar>& z, const std::vector<Index>& targets,
           const LossSettings& settings) {
  require_matrix("z", z);
  if (static_cast<Index>(targets.size()) != z.dim(0)) {
    throw InputError("targets: expected " + std::to_string(z.dim(0)) + " tokens, got " +
                     std::to_string(targets.size()));
  }
  for (const Index target : targets) {
    if (target < 0 || target >= z.dim(1)) {
      throw InputError("targets: expected values from 0 to " + std::to_string(z.dim(1) - 1) +
                       ", got " + std::to_string(target));
    }
  }
  if (settings.mtp_weights.empty() || settings.mtp_weights.size() > 3) {
    throw InputError("mtp_weights: expected 1 to 3 weights, got " +
                     std::to_string(settings.mtp_weights.size()));
  }
}

// ln sum exp(softcap(z)) of one row. The maximum is taken out, though 23 would not overflow, so
// that the terms are at most 1.
template <class Scalar>
Scalar logsumexp_of(const Scalar* z, Index columns) {
  if (mutated(Mutant::loss_skips_last_column) && columns > 1) --columns;
  std::vector<Scalar> terms(z, z + columns);
  softcap_row(terms.data(), columns);
  const Scalar maximum = *std::max_element(terms.begin(), terms.end());
  for (Scalar& term : terms) term -= maximum;
  exponentials(terms.data(), columns);
  Scalar sum(0);
  for (const Scalar& term : terms) sum += term;
  return maximum + log(sum);
}

}  // namespace

template <class Scalar>
LossForward<Scalar> softcap_loss(const Tensor<Scalar>& z, const std::vector<Index>& targets,
                                 const LossSettings& settings) {
  check(z, targets, settings);
  const Index tokens = z.dim(0), columns = z.dim(1);
  const Terms terms(targets, settings);
  LossForward<Scalar> result{Scalar(0), Tensor<Scalar>({tokens})};
#pragma omp parallel for schedule(static) if (z.size() > 1 << 17)
  for (Index t = 0; t < tokens; ++t) result.logsumexp[t] = logsumexp_of(&z(t, 0), columns);
  for (Index t = 0; t < tokens; ++t) {
    for (const Term& term : terms.at(t)) {
      const Scalar l = softcapped(z(t, term.target));
      result.loss += Scalar(term.weight) * (result.logsumexp[t] - l);
    }
  }
  return result;
}

template <class Scalar>
Tensor<Scalar> softcap_loss_backward(const Tensor<Scalar>& z, const Tensor<Scalar>& logsumexp,
                                     const std::vector<Index>& targets,
                                     const LossSettings& settings, const Scalar& grad_loss) {
  check(z, targets, settings);
  const Index tokens = z.dim(0), columns = z.dim(1);
  require_shape("logsumexp", logsumexp, {tokens});
  const Terms terms(targets, settings);
  auto grad_z = Tensor<Scalar>::unwritten(z.shape());
#pragma omp parallel for schedule(static) if (z.size() > 1 << 17)
  for (Index t = 0; t < tokens; ++t) {
    const std::vector<Term> ahead = terms.at(t);
    double weights = 0;  // W_t of SPEC §5
    for (const Term& term : ahead) weights += term.weight;
    Tensor<Scalar> l = rows_of(z, t, 1);
    softcap_row(l.data(), columns);
    Scalar* const grad = &grad_z(t, 0);  // of l, then of z
    for (Index n = 0; n < columns; ++n) grad[n] = l[n] - logsumexp[t];
    exponentials(grad, columns);
    for (Index n = 0; n < columns; ++n) grad[n] = Scalar(weights) * grad[n];
    for (std::size_t k = 0; k < ahead.size(); ++k) {
      if (mutated(Mutant::coinciding_targets_count_once) && came_before(ahead, k)) continue;
      grad[ahead[k].target] -= Scalar(ahead[k].weight);
    }
    Tensor<Scalar>& slope = l;
    softcap_slope_row(slope.data(), columns);
    for (Index n = 0; n < columns; ++n) {
      if (mutated(Mutant::loss_gradient_skips_softcap)) slope[n] = Scalar(1);
      grad[n] = grad_loss * (grad[n] * slope[n]);
    }
  }
  return grad_z;
}

#define INSTANTIATE(Scalar)                                                                     \
  template LossForward<Scalar> softcap_loss(const Tensor<Scalar>&, const std::vector<Index>&,   \
                                            const LossSettings&);                               \
  template Tensor<Scalar> softcap_loss_backward(const Tensor<Scalar>&, const Tensor<Scalar>&,   \
                                                const std::vector<Index>&, const LossSettings&, \
                                                const Scalar&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
