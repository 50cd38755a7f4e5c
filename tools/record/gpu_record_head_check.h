#pragma once

#include "tools/record/verification_record.h"

namespace pairedhead {

// The fp8 head and the loss at T = 49152 on device 0, blocks of the last tokens judged by the
// reference (sampled_head_rows). The logits are more than 2^31.
RecordedCheck check_record_head();

}  // namespace pairedhead
