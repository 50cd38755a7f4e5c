#include "tools/targets/gpu_case.h"

namespace pairedhead {

GpuCalls gpu_model_calls() { return {}; }

}  // namespace pairedhead
