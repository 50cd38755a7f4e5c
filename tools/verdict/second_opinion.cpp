#include "tools/verdict/second_opinion.h"

#include <algorithm>
#include <cmath>

namespace pairedhead {

bool is_isolated_failure(const TensorVerdict& tensor) {
  return tensor.status == Status::failed && std::isfinite(tensor.ratios.max) &&
         tensor.wrong_elements <= std::max<Index>(1, element_count(tensor.shape) / 16);
}

int draws_of_second_opinion(Index elements) {
  constexpr Index most_drawn = 1 << 24;
  return static_cast<int>(std::min<Index>(most_noise_draws, most_drawn / (elements + 1)));
}

Verdict second_opinion(Verdict verdict, const Component& component, const Parameters& parameters,
                       const Arrays& inputs, std::uint64_t seed, const Arrays& outputs,
                       std::optional<std::uint64_t> poison_seed) {
  if (verdict.status != Status::failed) return verdict;
  Index elements = 0;
  for (const TensorVerdict& tensor : verdict.tensors) {
    if (tensor.status == Status::failed && !is_isolated_failure(tensor)) return verdict;
    elements += element_count(tensor.shape);
  }
  const int draws = draws_of_second_opinion(elements);
  if (elements == 0 || draws <= noise_draws) return verdict;
  const Truth truth = truth_given_outputs(component, parameters, inputs, seed, outputs, draws);
  return judge(component, parameters, truth, inputs, outputs, poison_seed);
}

}  // namespace pairedhead
