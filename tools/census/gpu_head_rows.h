#pragma once

#include "tools/census/sampled_rows.h"
#include "tools/targets/gpu_record_head.h"

namespace pairedhead {

// What RecordHead::all left, judged where the reference can: a token's logits, its logsumexp and
// the gradient of its logits need no other token but the next two, and a block of a product only
// the rows and columns that meet in it. Judged are blocks of the last tokens, where offsets are
// largest and horizons end: z, logsumexp, the gradient's codes in both layouts, and blocks of both
// products of the backward pass. rows: of these blocks.
SampledResult sampled_head_rows(const RecordHead& head);

}  // namespace pairedhead
