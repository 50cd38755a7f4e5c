#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace pairedhead::gpu {

// SPEC §6.2, a sequence of fp32 operations each rounded to nearest, none contracted, denormals
// kept: the same bits on every machine. parameter: bf16 [count], mantissa: uint16 [count], the two
// halves of the master, both updated; direction: bf16 [count]; learning_rate, weight_decay: eff_lr
// and eff_wd of SPEC §6.1.6, fp32, on the device. Throws CudaError.
void cautious_split_update(std::int64_t count, const __nv_bfloat16* direction,
                           const float* learning_rate, const float* weight_decay,
                           __nv_bfloat16* parameter, std::uint16_t* mantissa, cudaStream_t stream);

}  // namespace pairedhead::gpu
