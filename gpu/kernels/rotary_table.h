#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace pairedhead::gpu {

// SPEC §3.4 tables on the device: frequency fp32 [D], D a multiple of 8, the two of a pair of
// channels alike and the upper half zero, as SPEC has them; neither is read. cosine, sine: bf16
// [T, D], paired [T, 2D]. All 16-byte aligned. Throws CudaError, and std::invalid_argument on
// another D or more than 2^33 entries.
void rotary_table(const float* frequency, int tokens, int head_dim, bool paired,
                  __nv_bfloat16* cosine, __nv_bfloat16* sine, cudaStream_t stream);

}  // namespace pairedhead::gpu
