#pragma once

#include "gpu/kernels/gate.h"

namespace pairedhead::gpu {

__device__ __forceinline__ float logistic(float x) { return 1 / (1 + expf(-x)); }

}  // namespace pairedhead::gpu
