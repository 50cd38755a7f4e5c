#include "gpu/error.h"
#include "gpu/kernels/add_streams.h"

namespace pairedhead::gpu {
namespace {

constexpr int threads = 256;

__global__ void add_streams_kernel(std::int64_t count, const __nv_bfloat16* x,
                                   const __nv_bfloat16* y, __nv_bfloat16* sum) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < count) sum[i] = __float2bfloat16_rn(__bfloat162float(x[i]) + __bfloat162float(y[i]));
}

}  // namespace

void add_streams(std::int64_t count, const __nv_bfloat16* x, const __nv_bfloat16* y,
                 __nv_bfloat16* sum, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((count + threads - 1) / threads);
  add_streams_kernel<<<blocks, threads, 0, stream>>>(count, x, y, sum);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace pairedhead::gpu
