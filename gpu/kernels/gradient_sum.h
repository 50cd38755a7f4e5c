#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace pairedhead::gpu {

// A node of the binary tree in which the gradients of micro-batches are summed (SPEC §9.2):
// sum = scale (a + b), or scale (partial + (a + b)), in fp32. a, b: bf16 or fp32 [count]; sum: fp32
// [count], may be an fp32 a or b; partial: fp32 [count], may be sum, or nullptr. So four gradients
// are two calls, add(g0, g1, nullptr, s), add(g2, g3, s, s). Throws CudaError.
void add_gradients(std::int64_t count, const __nv_bfloat16* a, const __nv_bfloat16* b,
                   const float* partial, float* sum, cudaStream_t stream, float scale = 1);
void add_gradients(std::int64_t count, const float* a, const float* b, const float* partial,
                   float* sum, cudaStream_t stream, float scale = 1);

}  // namespace pairedhead::gpu
