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

// What the draws show of every output.
struct Noise {
  Values square;             // m^2: the mean squared deviation from y*
  std::vector<Values> kept;  // draws
};

// noise_draws are kept, but of cases of more elements than this only the first few, so that memory
// stays bounded: independence is then known less exactly.
constexpr Index elements_of_all_draws = 1 << 20;
constexpr int fewest_kept = 8;

// As many draws at a time as there are threads, and always added in the order of k, so that the sum
// does not depend on their number.
Noise noise_of(const Component& component, const Parameters& parameters, const Arrays& inputs,
               std::uint64_t seed, const Values& exact, int draws) {
  Noise noise;
  Index elements = 0;
  for (const auto& [key, tensor] : exact) {
    noise.square.emplace(key, Tensor<double>(tensor.shape()));
    elements += tensor.size();
  }
  const int kept = elements > elements_of_all_draws ? fewest_kept : noise_draws;
  const int at_once = std::clamp(omp_get_max_threads(), 1, draws);
  for (int first = 0; first < draws; first += at_once) {
    const int last = std::min(first + at_once, draws);
    for (Values& draw : draw_noise(component, parameters, inputs, seed, first, last)) {
      for (const OutputRow& row : component.outputs) {
        const Tensor<double>& drawn = value_of(draw, component, row, "rounded reference");
        const Tensor<double>& truth = exact.at(row.key());
        require_shape(row.name.c_str(), drawn, truth.shape());
        Tensor<double>& sum = noise.square.at(row.key());
        for (Index i = 0; i < sum.size(); ++i) {
          const double deviation = drawn[i] - truth[i];
          sum[i] += deviation * deviation / draws;
        }
      }
      if (static_cast<int>(noise.kept.size()) < kept) noise.kept.push_back(std::move(draw));
    }
  }
  return noise;
}

// sigma of one output. square: m^2, terms: a_i, accumulator: u_acc.
Tensor<double> scale_of(DType dtype, const Tensor<double>& exact, const Tensor<double>& square,
                        const Tensor<double>& terms, double accumulator) {
  const double roundoff = unit_roundoff(dtype);
  Tensor<double> sigma(exact.shape());
  const Index width = row_width(exact.shape());
  for (Index begin = 0; begin < exact.size(); begin += width) {
    double row_mean = 0;
    for (Index i = begin; i < begin + width; ++i) {
      row_mean += square[i] / static_cast<double>(width);
    }
    for (Index i = begin; i < begin + width; ++i) {
      const double storing = roundoff * std::abs(exact[i]) / 2;
      const double adding = 4 * accumulator * terms[i];
      const double underflow = exact[i] == 0 ? 0 : underflow_threshold;
      sigma[i] = std::sqrt(std::max(square[i], row_mean / 4) + storing * storing + adding * adding +
                           underflow * underflow);
    }
  }
  return sigma;
}

}  // namespace

void add_scale(const Component& component, const Parameters& parameters, const Arrays& inputs,
               std::uint64_t seed, Truth& truth) {
  const Noise noise = noise_of(component, parameters, inputs, seed, truth.exact, truth.draws);
  const Values magnitude = component.magnitude(parameters, inputs);
  for (const OutputRow& row : component.outputs) {
    if (component.compares_bits(row)) continue;
    const std::string key = row.key();
    const Tensor<double>& exact = truth.exact.at(key);
    const Tensor<double>& terms = value_of(magnitude, component, row, "magnitude");
    require_shape(row.name.c_str(), terms, exact.shape());
    const double accumulator =
        component.accumulator ? component.accumulator(parameters, row) : fp32_accumulator;
    truth.scale[key] = scale_of(row.dtype, exact, noise.square.at(key), terms, accumulator);
    std::vector<const Tensor<double>*> draws;
    for (const Values& draw : noise.kept) draws.push_back(&draw.at(key));
    truth.independence[key] = independence_of(draws, exact, truth.scale.at(key), row.dtype, seed);
  }
}

namespace {

Truth exact_of(const Component& component, const Parameters& parameters, const Arrays& inputs) {
  Truth truth;
  truth.exact = component.reference(parameters, inputs, Rounding::exact());
  for (const OutputRow& row : component.outputs) value_of(truth.exact, component, row, "reference");
  return truth;
}

}  // namespace

Truth truth_before_stages(const Component& component, const Parameters& parameters,
                          const Arrays& inputs, std::uint64_t seed) {
  return component.stages.empty() ? truth_of(component, parameters, inputs, seed)
                                  : exact_of(component, parameters, inputs);
}

Truth truth_of(const Component& component, const Parameters& parameters, const Arrays& inputs,
               std::uint64_t seed, int draws) {
  Truth truth = exact_of(component, parameters, inputs);
  truth.draws = draws;
  if (component.judgement == Judgement::ratio) {
    add_scale(component, parameters, inputs, seed, truth);
  }
  return truth;
}

Truth truth_of_stages(const Component& component, const Parameters& parameters,
                      const Arrays& inputs, std::uint64_t seed, const Truth& truth,
                      const Arrays& outputs) {
  if (component.stages.empty()) return truth;
  return truth_given_outputs(component, parameters, inputs, seed, outputs, noise_draws);
}

Truth truth_given_outputs(const Component& component, const Parameters& parameters,
                          const Arrays& inputs, std::uint64_t seed, const Arrays& outputs,
                          int draws) {
  Arrays given = inputs;
  for (const std::string& key : component.stages) given[key] = outputs.at(key);
  return truth_of(component, parameters, given, seed, draws);
}

}  // namespace pairedhead
