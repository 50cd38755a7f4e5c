#pragma once

#include <string>

#include "tools/census/sampled_rows.h"

namespace pairedhead {

// Runs a component at full size and judges `samples` places along one axis of it, "T" or "n", by
// the reference: of every output that has this axis the row at that place, which depends on the
// inputs' rows there and on those next to them (smear, key shift), and on what has no such axis
// (weights). So the reference is given a case of three places. Outputs that sum over the axis are
// not judged. The first two samples are the first place and the last, the others are drawn from
// `seed`.
SampledResult sampled_tokens(Target& target, const Component& component,
                             const Parameters& parameters, const std::string& axis,
                             std::uint64_t seed, Index samples);

}  // namespace pairedhead
