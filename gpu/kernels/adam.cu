#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>

#include "gpu/kernels/adam.h"
#include "gpu/kernels/elementwise.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"

// One launch for many parameters of very different sizes: each gets as many blocks as it has
// elements for, one behind the other, and a block looks up whose it is.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
constexpr int most_tensors = 24;  // of a launch

struct Launch {
  AdamTensor tensor[most_tensors];
  int width[most_tensors];           // elements of a thread: pack_width, or 1 where not aligned
  unsigned first[most_tensors + 1];  // block of each tensor
  int tensors;
};

struct Moved {
  float parameter, first, second;
};

// The intrinsics are never contracted into multiply-adds.
__device__ __forceinline__ Moved moved(float p, float m, float v, float g, const AdamFactors& f,
                                       KernelMutant mutant) {
  constexpr float epsilon = 1e-10f;
  m = __fadd_rn(__fmul_rn(f.beta1, m), __fmul_rn(f.one_minus_beta1, g));
  v = __fadd_rn(__fmul_rn(f.beta2, v), __fmul_rn(f.one_minus_beta2, __fmul_rn(g, g)));
  const float root = planted(mutant, KernelMutant::adam_epsilon_inside_root)
                         ? __fsqrt_rn(__fadd_rn(v, epsilon))
                         : __fadd_rn(__fsqrt_rn(v), epsilon);
  const float update = __fdiv_rn(__fmul_rn(f.step_size, m), root);
  const float product = __fmul_rn(update, p);
  const bool keeps =
      planted(mutant, KernelMutant::adam_mask_keeps_zero) ? product >= 0 : product > 0;
  const float kept = __fmul_rn(p, keeps ? 1.0f : 0.0f);
  return {__fsub_rn(p, __fadd_rn(update, __fmul_rn(kept, f.decay))), m, v};
}

template <class Stored>
struct AdamBody {
  AdamTensor tensor;
  AdamFactors factors;
  KernelMutant mutant;

  template <int n>
  __device__ void operator()(std::int64_t at) const {
    Stored* const stored = static_cast<Stored*>(tensor.parameter) + at;
    auto p = load_pack<n>(stored);
    auto g = load_pack<n>(tensor.gradient + at);
    auto m = load_pack<n>(tensor.first_moment + at), v = load_pack<n>(tensor.second_moment + at);
    if (tensor.earlier != nullptr) {
      const auto earlier = load_pack<n>(tensor.earlier + at);
#pragma unroll
      for (int i = 0; i < n; ++i) g[i] = __fadd_rn(earlier[i], g[i]);
    }
#pragma unroll
    for (int i = 0; i < n; ++i) {
      const Moved to = moved(static_cast<float>(p[i]), m[i], v[i], g[i], factors, mutant);
      store(&p[i], to.parameter);
      m[i] = to.first;
      v[i] = to.second;
    }
    store_pack(stored, p);
    store_pack(tensor.first_moment + at, m);
    store_pack(tensor.second_moment + at, v);
  }
};

template <class Stored>
__device__ __forceinline__ void move_chunk(std::int64_t thread, int width,
                                           const AdamBody<Stored>& body) {
  if (width == 1) {
    move_elements<1>(thread, body.tensor.count, body);
  } else {
    move_elements<pack_width>(thread, body.tensor.count, body);
  }
}

__global__ void __launch_bounds__(threads_of_block)
    adam_kernel(const __grid_constant__ Launch launch, const AdamFactors* __restrict__ factors,
                KernelMutant mutant) {
  int which = 0;
  while (which + 1 < launch.tensors && blockIdx.x >= launch.first[which + 1]) ++which;
  const AdamTensor& tensor = launch.tensor[which];
  const std::int64_t thread =
      static_cast<std::int64_t>(blockIdx.x - launch.first[which]) * threads_of_block + threadIdx.x;
  if (tensor.bf16) {
    move_chunk<__nv_bfloat16>(thread, launch.width[which], {tensor, factors[which], mutant});
  } else {
    move_chunk<float>(thread, launch.width[which], {tensor, factors[which], mutant});
  }
}

bool aligned(const AdamTensor& t) {
  return aligned_to_16(static_cast<const std::byte*>(t.parameter), t.gradient, t.earlier,
                       t.first_moment, t.second_moment);
}

}  // namespace

AdamFactors adam_factors(double beta1, double beta2, double learning_rate, double weight_decay,
                         std::int64_t updates) {
  const auto given = [&](double beta) { return 1 - std::pow(beta, static_cast<double>(updates)); };
  const bool by_rate = planted(active_kernel_mutant(), KernelMutant::adam_decay_by_rate);
  return {.beta1 = static_cast<float>(beta1),
          .one_minus_beta1 = static_cast<float>(1 - beta1),
          .beta2 = static_cast<float>(beta2),
          .one_minus_beta2 = static_cast<float>(1 - beta2),
          .step_size = static_cast<float>(learning_rate * std::sqrt(given(beta2)) / given(beta1)),
          .decay = static_cast<float>(by_rate ? learning_rate * weight_decay
                                              : learning_rate * learning_rate * weight_decay)};
}

void adam_update(std::span<const AdamTensor> tensors, const AdamFactors* factors,
                 cudaStream_t stream) {
  while (!tensors.empty()) {
    Launch launch = {};
    launch.tensors = static_cast<int>(std::min<std::size_t>(tensors.size(), most_tensors));
    for (int i = 0; i < launch.tensors; ++i) {
      const AdamTensor& tensor = launch.tensor[i] = tensors[static_cast<std::size_t>(i)];
      launch.width[i] = aligned(tensor) ? pack_width : 1;
      const auto blocks = (element_threads(tensor.count, launch.width[i]) + threads_of_block - 1) /
                          threads_of_block;
      launch.first[i + 1] = launch.first[i] + static_cast<unsigned>(blocks);
    }
    const unsigned blocks = launch.first[launch.tensors];
    if (blocks > 0) {
      adam_kernel<<<blocks, threads_of_block, 0, stream>>>(launch, factors, active_kernel_mutant());
      CUDA_CHECK(cudaGetLastError());
    }
    tensors = tensors.subspan(static_cast<std::size_t>(launch.tensors));
    factors += launch.tensors;
  }
}

}  // namespace pairedhead::gpu
