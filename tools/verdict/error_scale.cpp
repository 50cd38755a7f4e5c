#include "tools/verdict/error_scale.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <vector>

namespace pairedhead {
namespace {

const Tensor<double>& value_of(const Values& values, const Component& component,
                               const OutputRow& row, const char* what) {
  const auto found = values.find(row.key());
  if (found == values.end()) {
    throw InputError(
        fmt::format("component {}: its {} does not give {}", component.name, what, row.key()));
  }
  return found->second;
}

// Runs the draws [first, last) at once. One that throws makes the whole throw.
std::vector<Values> draw_noise(const Component& component, const Parameters& parameters,
                               const Arrays& inputs, std::uint64_t seed, int first, int last) {
  std::vector<Values> draws(static_cast<std::size_t>(last - first));
  std::exception_ptr error;
#pragma omp parallel for schedule(static, 1)
  for (int k = first; k < last; ++k) {
    try {
      const std::uint64_t draw_seed = Random(seed).split(static_cast<std::uint64_t>(k) + 1).bits();
      draws[static_cast<std::size_t>(k - first)] =
          component.reference(parameters, inputs, Rounding::stochastic(draw_seed));
    } catch (...) {
#pragma omp critical(pairedhead_draw_error)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
  return draws;
}

// m^2 of every output: the mean squared deviation of the draws from y*. As many draws at a time as
// there are threads, so that memory stays bounded, and always added in the order of k, so that the
// sum does not depend on their number.
Values mean_square_noise(const Component& component, const Parameters& parameters,
                         const Arrays& inputs, std::uint64_t seed, const Values& exact) {
  Values noise;
  for (const auto& [key, tensor] : exact) noise.emplace(key, Tensor<double>(tensor.shape()));
  const int at_once = std::clamp(omp_get_max_threads(), 1, noise_draws);
  for (int first = 0; first < noise_draws; first += at_once) {
    const int last = std::min(first + at_once, noise_draws);
    for (const Values& draw : draw_noise(component, parameters, inputs, seed, first, last)) {
      for (const OutputRow& row : component.outputs) {
        const Tensor<double>& drawn = value_of(draw, component, row, "rounded reference");
        const Tensor<double>& truth = exact.at(row.key());
        require_shape(row.name.c_str(), drawn, truth.shape());
        Tensor<double>& sum = noise.at(row.key());
        for (Index i = 0; i < sum.size(); ++i) {
          const double deviation = drawn[i] - truth[i];
          sum[i] += deviation * deviation / noise_draws;
        }
      }
    }
  }
  return noise;
}

}  // namespace

Values error_scale(const Component& component, const Parameters& parameters, const Arrays& inputs,
                   std::uint64_t seed, const Values& exact) {
  const Values noise = mean_square_noise(component, parameters, inputs, seed, exact);
  const Values magnitude = component.magnitude(parameters, inputs);
  const double accumulator =
      component.accumulator ? component.accumulator(parameters) : fp32_accumulator;
  Values scale;
  for (const OutputRow& row : component.outputs) {
    if (component.compares_bits(row)) continue;
    const Tensor<double>& truth = exact.at(row.key());
    const Tensor<double>& terms = value_of(magnitude, component, row, "magnitude");
    require_shape(row.name.c_str(), terms, truth.shape());
    const Tensor<double>& square = noise.at(row.key());
    const double roundoff = unit_roundoff(row.dtype);
    Tensor<double> sigma(truth.shape());
    const Index width = truth.shape().empty() ? 1 : std::max<Index>(truth.shape().back(), 1);
    for (Index begin = 0; begin < truth.size(); begin += width) {
      double row_mean = 0;
      for (Index i = begin; i < begin + width; ++i) {
        row_mean += square[i] / static_cast<double>(width);
      }
      for (Index i = begin; i < begin + width; ++i) {
        const double storing = roundoff * std::abs(truth[i]) / 2;
        const double adding = 4 * accumulator * terms[i];
        const double underflow = truth[i] == 0 ? 0 : underflow_threshold;
        sigma[i] = std::sqrt(std::max(square[i], row_mean / 4) + storing * storing +
                             adding * adding + underflow * underflow);
      }
    }
    scale.emplace(row.key(), std::move(sigma));
  }
  return scale;
}

Truth truth_of(const Component& component, const Parameters& parameters, const Arrays& inputs,
               std::uint64_t seed) {
  Truth truth;
  truth.exact = component.reference(parameters, inputs, Rounding::exact());
  for (const OutputRow& row : component.outputs) value_of(truth.exact, component, row, "reference");
  if (component.judgement == Judgement::ratio) {
    truth.scale = error_scale(component, parameters, inputs, seed, truth.exact);
  }
  return truth;
}

Truth truth_of_stages(const Component& component, const Parameters& parameters,
                      const Arrays& inputs, std::uint64_t seed, const Truth& truth,
                      const Arrays& outputs) {
  if (component.stages.empty()) return truth;
  Arrays given = inputs;
  for (const std::string& key : component.stages) given[key] = outputs.at(key);
  return truth_of(component, parameters, given, seed);
}

}  // namespace pairedhead
