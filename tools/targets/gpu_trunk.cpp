#include "tools/targets/gpu_case.h"

namespace pairedhead {

GpuCalls gpu_trunk_calls() { return {}; }

}  // namespace pairedhead
