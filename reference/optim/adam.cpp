#include "reference/optim/adam.h"

#include <cmath>
#include <string>

#include "reference/mutant.h"
#include "reference/optim/single.h"

namespace pairedhead::reference {
namespace {

using std::sqrt;

constexpr double epsilon = 1e-10;

// 1 - beta^t, the share of a moment's weight that t updates have given it.
double given(double beta, Index updates) {
  return 1 - std::pow(beta, static_cast<double>(updates));
}

double step_size_of(const AdamSettings& s) {
  const Index t = mutated(Mutant::adam_updates_from_zero) ? s.updates + 1 : s.updates;
  if (mutated(Mutant::adam_without_bias_correction)) return s.learning_rate;
  return s.learning_rate * sqrt(given(s.beta2, t)) / given(s.beta1, t);
}

double decay_of(const AdamSettings& s) {
  if (mutated(Mutant::adam_decay_by_rate)) return s.learning_rate * s.weight_decay;
  return s.learning_rate * s.learning_rate * s.weight_decay;
}

template <class Number>
Number update(const Number& first, const Number& second, const AdamFactors& factors) {
  const AdamSettings& s = factors.settings;
  const Number moved = Number(factors.step_size) * first;
  if (mutated(Mutant::adam_epsilon_inside_root)) return moved / sqrt(second + Number(epsilon));
  if (mutated(Mutant::adam_epsilon_after_correction)) {
    return moved / (sqrt(second) + Number(epsilon * sqrt(given(s.beta2, s.updates))));
  }
  return moved / (sqrt(second) + Number(epsilon));
}

template <class Number>
bool keeps(const Number& update, const Number& parameter) {
  const Number product = update * parameter, zero(0.0);
  return mutated(Mutant::adam_mask_keeps_zero) ? product >= zero : product > zero;
}

const AdamSettings& checked(const AdamSettings& s) {
  if (s.updates < 1) {
    throw InputError("updates: expected at least 1, got " + std::to_string(s.updates));
  }
  return s;
}

}  // namespace

AdamFactors::AdamFactors(const AdamSettings& s)
    : settings(checked(s)), step_size(step_size_of(s)), decay(decay_of(s)) {}

template <class Number>
AdamState<Number> adam_update(const AdamState<Number>& state, const Number& g,
                              const AdamFactors& factors) {
  const AdamSettings& s = factors.settings;
  const auto mix = [](double beta, const Number& old, const Number& added) {
    return Number(beta) * old + Number(1 - beta) * added;
  };
  const Number& p = state.parameter;
  const Number m = mix(s.beta1, state.first, g);
  const Number v =
      mix(mutated(Mutant::adam_betas_exchanged) ? s.beta1 : s.beta2, state.second, g * g);
  const Number u = update(m, v, factors);
  const Number kept = p * Number(keeps(u, p) ? 1.0 : 0.0);
  return {p - (u + kept * Number(factors.decay)), m, v};
}
template AdamState<Single> adam_update(const AdamState<Single>&, const Single&, const AdamFactors&);
template AdamState<double> adam_update(const AdamState<double>&, const double&, const AdamFactors&);

AdamState<float> adam_step(const AdamState<float>& state, float gradient,
                           const AdamFactors& factors, DType storage) {
  if (storage != DType::bf16 && storage != DType::fp32) {
    throw InputError("storage: expected bf16 or fp32, got " + std::string(name_of(storage)));
  }
  const AdamState<Single> updated =
      adam_update<Single>({state.parameter, state.first, state.second}, gradient, factors);
  const double parameter = static_cast<double>(updated.parameter.get());
  return {static_cast<float>(round_to(storage, parameter)), updated.first.get(),
          updated.second.get()};
}

}  // namespace pairedhead::reference
