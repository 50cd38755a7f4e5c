#include "gpu/kernels/elementwise.cuh"
#include "gpu/kernels/gradient_sum.h"

namespace pairedhead::gpu {
namespace {

template <class Gradient>
struct GradientSum {
  const Gradient *a, *b;
  const float* partial;
  float* sum;
  float scale;

  template <int n>
  __device__ void operator()(std::int64_t at) const {
    const auto left = load_pack<n>(a + at), right = load_pack<n>(b + at);
    Pack<float, n> total;
#pragma unroll
    for (int i = 0; i < n; ++i) {
      total[i] = static_cast<float>(left[i]) + static_cast<float>(right[i]);
    }
    if (partial != nullptr) {
      const auto before = load_pack<n>(partial + at);
#pragma unroll
      for (int i = 0; i < n; ++i) total[i] = before[i] + total[i];
    }
#pragma unroll
    for (int i = 0; i < n; ++i) total[i] *= scale;
    store_pack(sum + at, total);
  }
};

template <class Gradient>
void add(std::int64_t count, const Gradient* a, const Gradient* b, const float* partial, float* sum,
         cudaStream_t stream, float scale) {
  launch_elementwise(count, aligned_to_16(a, b, partial, sum),
                     GradientSum<Gradient>{a, b, partial, sum, scale}, stream);
}

}  // namespace

void add_gradients(std::int64_t count, const __nv_bfloat16* a, const __nv_bfloat16* b,
                   const float* partial, float* sum, cudaStream_t stream, float scale) {
  add(count, a, b, partial, sum, stream, scale);
}
void add_gradients(std::int64_t count, const float* a, const float* b, const float* partial,
                   float* sum, cudaStream_t stream, float scale) {
  add(count, a, b, partial, sum, stream, scale);
}

}  // namespace pairedhead::gpu
