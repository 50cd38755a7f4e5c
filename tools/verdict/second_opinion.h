#pragma once

#include "tools/verdict/verdict.h"

namespace pairedhead {

// The verdict itself if the case holds. If it fails by the ratios of a few elements, it is judged
// again by most_noise_draws of the noise (fewer where there are many elements, to bound the time):
// sigma is then the same mean, better known. What is wrong in many elements, in bits or in form
// stays as it is. The other arguments are those of truth_of and judge.
Verdict second_opinion(Verdict verdict, const Component& component, const Parameters& parameters,
                       const Arrays& inputs, std::uint64_t seed, const Arrays& outputs,
                       std::optional<std::uint64_t> poison_seed);

}  // namespace pairedhead
