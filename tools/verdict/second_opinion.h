#pragma once

#include "tools/verdict/verdict.h"

namespace pairedhead {

// Whether an output fails by the ratios of so few elements that one rare error of an honest kernel
// might be behind it, which noise_draws of the noise did not show. What is wrong in many elements,
// in bits or in form is no such failure.
bool is_isolated_failure(const TensorVerdict& tensor);

// By how many draws to judge again where outputs have so many elements together:
// most_noise_draws, fewer where that would take more than a few seconds.
int draws_of_second_opinion(Index elements);

// The verdict, unless isolated failures are all that is wrong: then the case is judged again by
// more draws. sigma is then the same mean, better known. The other arguments are those of truth_of
// and judge.
Verdict second_opinion(Verdict verdict, const Component& component, const Parameters& parameters,
                       const Arrays& inputs, std::uint64_t seed, const Arrays& outputs,
                       std::optional<std::uint64_t> poison_seed);

}  // namespace pairedhead
