#include "tools/targets/gpu_case.h"

namespace pairedhead {

GpuCalls gpu_optimizer_calls() { return {}; }

}  // namespace pairedhead
