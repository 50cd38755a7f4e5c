#include "gpu/kernels/elementwise.cuh"
#include "gpu/kernels/momentum.h"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"

namespace pairedhead::gpu {
namespace {

template <class Direction>
struct MomentumUpdate {
  const float *gradient, *momentum;
  float* moment;
  Direction* direction;
  KernelMutant mutant;

  template <int n>
  __device__ void operator()(std::int64_t at) const {
    const float kept = *momentum, added = 1 - kept;
    const auto g = load_pack<n>(gradient + at);
    auto m = load_pack<n>(moment + at);
    Pack<Direction, n> ahead;
#pragma unroll
    for (int i = 0; i < n; ++i) {
      // Written out: which product is contracted must not depend on n.
      const float old = m[i], share = __fmul_rn(added, g[i]);
      m[i] = __fmaf_rn(kept, old, share);
      const bool late = planted(mutant, KernelMutant::nesterov_with_old_moment);
      store(&ahead[i], __fmaf_rn(kept, late ? old : m[i], share));
    }
    store_pack(moment + at, m);
    store_pack(direction + at, ahead);
  }
};

template <class Direction>
void update(std::int64_t count, const float* gradient, const float* momentum, float* moment,
            Direction* direction, cudaStream_t stream) {
  launch_elementwise(
      count, aligned_to_16(gradient, moment, direction),
      MomentumUpdate<Direction>{gradient, momentum, moment, direction, active_kernel_mutant()},
      stream);
}

}  // namespace

void momentum_update(std::int64_t count, const float* gradient, const float* momentum,
                     float* moment, __nv_bfloat16* direction, cudaStream_t stream) {
  update(count, gradient, momentum, moment, direction, stream);
}
void momentum_update(std::int64_t count, const float* gradient, const float* momentum,
                     float* moment, float* direction, cudaStream_t stream) {
  update(count, gradient, momentum, moment, direction, stream);
}

}  // namespace pairedhead::gpu
