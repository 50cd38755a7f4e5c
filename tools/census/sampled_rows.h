#pragma once

#include "tools/targets/target.h"
#include "tools/verdict/verdict.h"

namespace pairedhead {

// What judging some rows of a setting that is too large for the reference found.
struct SampledResult {
  Index rows = 0;  // (token, head) rows judged, each with its output, logsumexp and gradients
  Index failed = 0;
  Ratios worst;
  std::string first_failure;  // token, head, tensor and element
};

// Runs attention at full size and judges `samples` tokens of it by the reference. Attention is
// local: a token's output and gradients depend only on tokens within twice its reach inside its own
// document, and only on its own head or pair of heads. So the reference is given that
// neighbourhood, cut out as a small case of its own, and only the sampled token's rows are judged.
// The first two samples are the first token of a document and the batch's last token; the others
// are drawn from `seed`.
SampledResult sampled_rows(Target& target, const Component& attention, const Parameters& parameters,
                           std::uint64_t seed, Index samples);

}  // namespace pairedhead
