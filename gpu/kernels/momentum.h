#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace pairedhead::gpu {

// SPEC §6.1.1-2: moment = mu moment + (1 - mu) gradient, direction = (1 - mu) gradient + mu moment
// with the new moment. gradient: fp32 [count]; moment: fp32 [count], updated; direction: [count],
// bf16 as the trainer reads it (SPEC §6.1.4), or fp32 before that rounding; momentum: mu, fp32, on
// the device. Throws CudaError.
void momentum_update(std::int64_t count, const float* gradient, const float* momentum,
                     float* moment, __nv_bfloat16* direction, cudaStream_t stream);
void momentum_update(std::int64_t count, const float* gradient, const float* momentum,
                     float* moment, float* direction, cudaStream_t stream);

}  // namespace pairedhead::gpu
