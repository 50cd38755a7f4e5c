#include "tools/verdict/second_opinion.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace pairedhead {
namespace {

// Elements times draws: a few seconds.
constexpr Index most_drawn_elements = 1 << 24;

int affordable_draws(const Verdict& verdict) {
  Index elements = 1;
  for (const TensorVerdict& tensor : verdict.tensors) elements += element_count(tensor.shape);
  return static_cast<int>(std::min<Index>(most_noise_draws, most_drawn_elements / elements));
}

// A defect is seldom wrong in so few elements, and a rare error of an honest kernel seldom in more.
bool is_isolated(const TensorVerdict& tensor) {
  return std::isfinite(tensor.ratios.max) &&
         tensor.wrong_elements <= std::max<Index>(1, element_count(tensor.shape) / 16);
}

}  // namespace

Verdict second_opinion(Verdict verdict, const Component& component, const Parameters& parameters,
                       const Arrays& inputs, std::uint64_t seed, const Arrays& outputs,
                       std::optional<std::uint64_t> poison_seed) {
  const auto settled = [](const TensorVerdict& tensor) {
    return tensor.status == Status::failed && !is_isolated(tensor);
  };
  if (verdict.status != Status::failed || verdict.tensors.empty() ||
      std::any_of(verdict.tensors.begin(), verdict.tensors.end(), settled)) {
    return verdict;
  }
  const int draws = affordable_draws(verdict);
  if (draws <= noise_draws) return verdict;
  const Truth truth = truth_by_more_draws(component, parameters, inputs, seed, outputs, draws);
  return judge(component, parameters, truth, inputs, outputs, poison_seed);
}

}  // namespace pairedhead
