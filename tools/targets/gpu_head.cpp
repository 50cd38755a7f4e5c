#include "tools/targets/gpu_case.h"

namespace pairedhead {

GpuCalls gpu_head_calls() { return {}; }

}  // namespace pairedhead
