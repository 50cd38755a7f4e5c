#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace pairedhead::gpu {

// SPEC §6.2, a sequence of fp32 operations each rounded to nearest, none contracted, denormals
// kept: the same bits on every machine. parameter: bf16 [rows, columns], mantissa: uint16 [rows,
// columns], the two halves of the master, both updated; direction: bf16 [rows, columns];
// row_factor: fp32 [rows], what variance_reduction left: bf16(direction * factor) is SPEC's O;
// learning_rate, weight_decay: eff_lr and eff_wd of SPEC §6.1.6, fp32, on the device. Throws
// CudaError, and std::invalid_argument on 2^32 elements or more.
void cautious_split_update(std::int64_t rows, std::int64_t columns, const __nv_bfloat16* direction,
                           const float* row_factor, const float* learning_rate,
                           const float* weight_decay, __nv_bfloat16* parameter,
                           std::uint16_t* mantissa, cudaStream_t stream);

}  // namespace pairedhead::gpu
