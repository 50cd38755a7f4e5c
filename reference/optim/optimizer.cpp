#include "reference/optim/optimizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "reference/mutant.h"
#include "reference/optim/adam.h"
#include "reference/optim/cautious_split.h"
#include "reference/optim/momentum.h"
#include "reference/optim/polar_express.h"
#include "reference/rows.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

constexpr double normuon_base_rate = 0.023, normuon_weight_decay = 1.2;
constexpr double adam_base_rate = 0.008, adam_weight_decay = 0.005;

void require_parameter(const Shape& shape) {
  if (shape.size() != 2 || element_count(shape) == 0) {
    throw InputError("parameter: expected shape [rows, columns], none of them 0, got " +
                     to_string(shape));
  }
}

// Rows of each of the matrices that a parameter holds one below the other.
Index rows_of_each(const Shape& shape, Index matrices) {
  require_parameter(shape);
  if (matrices < 1 || shape[0] % matrices != 0) {
    throw InputError("matrices: expected a divisor of the " + std::to_string(shape[0]) +
                     " rows, got " + std::to_string(matrices));
  }
  return shape[0] / matrices;
}

void store_as_fp32(Tensor<double>& x) {
  for (double& value : x.values()) value = round_to(DType::fp32, value);
}

}  // namespace

NormuonState normuon_start(const Shape& shape) {
  require_parameter(shape);
  return {Tensor<double>(shape), Tensor<double>({shape[0]}),
          std::vector<std::uint16_t>(static_cast<std::size_t>(element_count(shape)))};
}

NormuonRates normuon_rates(const Shape& shape, const NormuonSettings& settings,
                           double learning_rate) {
  require_parameter(shape);
  const double eta = normuon_base_rate * learning_rate;
  // Of the stored shape, also where the matrices in it are square.
  const Index rows =
      mutated(Mutant::normuon_shape_of_views) ? shape[0] / settings.matrices : shape[0];
  const double tall = static_cast<double>(rows) / static_cast<double>(shape[1]);
  const double decay =
      mutated(Mutant::normuon_decay_without_multiplier) ? 1 : settings.weight_decay_multiplier;
  return {eta * std::sqrt(std::max(1.0, tall)) * settings.learning_rate_multiplier,
          eta * normuon_weight_decay * decay};
}

Tensor<double> normuon_orthogonal(const Tensor<double>& direction, Index matrices,
                                  Rounding rounding) {
  if (mutated(Mutant::normuon_bank_as_one)) matrices = 1;
  const Index rows = rows_of_each(direction.shape(), matrices);
  // Attention's matrices go through one fused product, the MLP's through two steps.
  const bool fused = matrices > 1;
  auto orthogonal = Tensor<double>::unwritten(direction.shape());
  for (Index first = 0; first < direction.dim(0); first += rows) {
    put_rows(polar_express(rows_of(direction, first, rows), fused,
                           rounding.split(static_cast<std::uint64_t>(first))),
             first, orthogonal);
  }
  return orthogonal;
}

template <class Scalar>
VarianceReduction<Scalar> normuon_normalised(Tensor<Scalar> orthogonal, Index matrices,
                                             const Tensor<Scalar>& second_moment,
                                             Rounding rounding) {
  const Index rows = rows_of_each(orthogonal.shape(), matrices);
  require_shape("second_moment", second_moment, {orthogonal.dim(0)});
  VarianceReduction<Scalar> result{std::move(orthogonal), second_moment};
  for (Index first = 0; first < result.direction.dim(0); first += rows) {
    const auto reduced = variance_reduction(rows_of(result.direction, first, rows),
                                            rows_of(second_moment, first, rows),
                                            rounding.split(static_cast<std::uint64_t>(first)));
    put_rows(reduced.direction, first, result.direction);
    put_rows(reduced.second_moment, first, result.second_moment);
  }
  return result;
}
template VarianceReduction<double> normuon_normalised(Tensor<double>, Index, const Tensor<double>&,
                                                      Rounding);
template VarianceReduction<Magnitude> normuon_normalised(Tensor<Magnitude>, Index,
                                                         const Tensor<Magnitude>&, Rounding);

void normuon_update(Tensor<double>& parameter, NormuonState& state, const Tensor<double>& gradient,
                    const NormuonSettings& settings, double learning_rate, double momentum,
                    Storage storage, Rounding rounding) {
  const NormuonRates rates = normuon_rates(parameter.shape(), settings, learning_rate);
  require_shape("gradient", gradient, parameter.shape());
  auto [moment, direction] = momentum_update(gradient, state.moment, momentum);
  state.moment = std::move(moment);
  if (storage == Storage::as_defined) {
    store_as_fp32(state.moment);
    store_as_fp32(direction);
  }
  Tensor<double> orthogonal =
      rounding.bf16(normuon_orthogonal(direction, settings.matrices, rounding.split(1)));
  auto normalised = normuon_normalised(std::move(orthogonal), settings.matrices,
                                       state.second_moment, rounding.split(2));
  const Tensor<double> update = rounding.bf16(std::move(normalised.direction));
  state.second_moment = std::move(normalised.second_moment);
  if (storage == Storage::exact) {
    cautious_update(parameter, update, rates.learning_rate, rates.weight_decay);
    return;
  }
  store_as_fp32(state.second_moment);
  if (state.mantissa.size() != static_cast<std::size_t>(parameter.size())) {
    throw InputError("mantissa: expected " + std::to_string(parameter.size()) + " elements, got " +
                     std::to_string(state.mantissa.size()));
  }
  for (Index i = 0; i < parameter.size(); ++i) {
    std::uint16_t& low = state.mantissa[static_cast<std::size_t>(i)];
    const SplitFloat moved = cautious_split_update(
        {to_bf16_bits(parameter[i]), low}, static_cast<float>(update[i]),
        static_cast<float>(rates.learning_rate), static_cast<float>(rates.weight_decay));
    parameter[i] = from_bf16_bits(moved.high);
    low = moved.low;
  }
}

AdamBetas adam_betas(std::string_view label) {
  struct Row {
    std::string_view label;
    AdamBetas betas;
  };
  static constexpr std::array<Row, 9> table = {{{"lm_head", {0.5, 0.95}},
                                                {"embed", {0.5, 0.95}},
                                                {"value_embed", {0.75, 0.95}},
                                                {"smear_gate", {0.9, 0.99}},
                                                {"skip_gate", {0.9, 0.99}},
                                                {"attn_gate_bank", {0.9, 0.99}},
                                                {"ve_gate_bank", {0.9, 0.99}},
                                                {"x0_lambdas", {0.65, 0.95}},
                                                {"scalars", {0.9, 0.99}}}};
  std::string known;
  for (const Row& row : table) {
    if (row.label == label) return row.betas;
    known += (known.empty() ? "" : ", ") + std::string(row.label);
  }
  throw InputError("label: expected one of " + known + ", got \"" + std::string(label) + "\"");
}

AdamMoments adam_start(const Shape& shape) {
  return {Tensor<double>(shape), Tensor<double>(shape), 0};
}

void adam_update(Tensor<double>& parameter, AdamMoments& moments, const Tensor<double>& gradient,
                 const AdamParameter& settings, double learning_rate, Storage storage) {
  require_shape("gradient", gradient, parameter.shape());
  require_shape("first moment", moments.first, parameter.shape());
  require_shape("second moment", moments.second, parameter.shape());
  ++moments.updates;
  const AdamFactors factors(
      {.beta1 = settings.betas.beta1,
       .beta2 = settings.betas.beta2,
       .learning_rate = adam_base_rate * learning_rate * settings.learning_rate_multiplier,
       .weight_decay = adam_weight_decay * settings.weight_decay_multiplier,
       .updates = moments.updates});
  const auto take = [&](Index i, double p, double m, double v) {
    parameter[i] = p;
    moments.first[i] = m;
    moments.second[i] = v;
  };
  for (Index i = 0; i < parameter.size(); ++i) {
    const double p = parameter[i], m = moments.first[i], v = moments.second[i];
    if (storage == Storage::exact) {
      const auto moved = adam_update(AdamState<double>{p, m, v}, gradient[i], factors);
      take(i, moved.parameter, moved.first, moved.second);
    } else {
      const auto moved =
          adam_step({static_cast<float>(p), static_cast<float>(m), static_cast<float>(v)},
                    static_cast<float>(gradient[i]), factors, settings.storage);
      take(i, static_cast<double>(moved.parameter), static_cast<double>(moved.first),
           static_cast<double>(moved.second));
    }
  }
}

}  // namespace pairedhead::reference
