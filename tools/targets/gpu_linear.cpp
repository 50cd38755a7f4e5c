#include "tools/targets/gpu_case.h"

namespace pairedhead {

GpuCalls gpu_linear_calls() { return {}; }

}  // namespace pairedhead
