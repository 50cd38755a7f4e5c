#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>

#include "gpu/kernels/matrix_family.h"

namespace pairedhead::gpu {

// Scratch of variance_reduction; its contents are not kept.
std::size_t variance_workspace_bytes(const MatrixFamily& family);

// SPEC §6.1.5, over rows, each matrix brought back to its own norm, but for the product:
// cautious_split_update, which reads the direction anyway, multiplies a row by its factor.
// direction: bf16, the family; second_moment: S, fp32 [matrices, rows], updated before it divides;
// row_factor: fp32 [matrices, rows], as rounded to bf16. Throws CudaError, and
// std::invalid_argument on an empty family.
void variance_reduction(const MatrixFamily& family, const __nv_bfloat16* direction,
                        float* second_moment, float* row_factor, void* workspace,
                        cudaStream_t stream);

}  // namespace pairedhead::gpu
