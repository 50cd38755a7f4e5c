#include "gpu/kernels/mutant.h"
#include "gpu/kernels/residual.h"
#include "gpu/kernels/row.cuh"

// Limited by memory: a warp holds the rows of a token in registers, so that each is read and
// written once and the norm's sums are shuffles. Backward, warps take several tokens each and keep
// their share of the scalars' gradients.

namespace pairedhead::gpu {
namespace {

// Of the backward kernel on a multiprocessor, by the registers that the rows of a token take.
template <bool skips>
constexpr int resident_blocks = skips ? 3 : 4;

// What the backward kernel sums over tokens: d(rho), d(lam), and with a skip d(theta) before its
// sigmoid's slope and d(w).
constexpr int rho_sum = 0, lam_sum = 1, theta_sum = 2, w_sums = 3;
constexpr int sums_of_mix = 2, sums_of_skip_mix = w_sums + gate_channels;

// SPEC §3.3.1: 2 sig(theta), which the gate of the token multiplies.
__device__ __forceinline__ float skip_strength(float theta, KernelMutant mutant) {
  return (planted(mutant, KernelMutant::skip_gate_undoubled) ? 1 : 2) * logistic(theta);
}

// SPEC §3.3.1-2 of one channel.
__device__ __forceinline__ float mix(float rho, float x, float skip, float lam, float x0,
                                     KernelMutant mutant) {
  if (planted(mutant, KernelMutant::skip_after_mix)) return rho * x + lam * x0 + skip;
  return rho * (x + skip) + lam * x0;
}

template <class RowType, bool skips>
__global__ void __launch_bounds__(row_threads)
    mix_forward(StreamShape shape, MixInputs in, __nv_bfloat16* __restrict__ mixed,
                __nv_bfloat16* __restrict__ a, KernelMutant mutant) {
  const int token = first_row();
  if (token >= shape.tokens) return;
  const auto offset = static_cast<std::int64_t>(token) * shape.width;
  const auto x_row = load_row<RowType>(in.x + offset, shape.width);
  const auto x0_row = load_row<RowType>(in.x0 + offset, shape.width);
  RowType skip_row;
  float gain = 0;
  if constexpr (skips) {
    skip_row = load_row<RowType>(in.skip.x_skip + offset, shape.width);
    gain = skip_strength(*in.skip.theta, mutant) * gate_of(x0_row, in.skip.w);
  }
  const float factor = *in.rho, x0_factor = *in.lam;
  float row[RowType::elements];
#pragma unroll
  for (int n = 0; n < RowType::elements; ++n) {
    row[n] = mix(factor, x_row[n], skips ? gain * skip_row[n] : 0.0f, x0_factor, x0_row[n], mutant);
  }
  const float inverse =
      inverse_rms(row_sum<RowType>([&](int n) { return row[n] * row[n]; }), shape.width, mutant);
  store_rounded<RowType>(mixed + offset, shape.width, [&](int n) { return row[n]; });
  store_rounded<RowType>(a + offset, shape.width, [&](int n) { return inverse * row[n]; });
}

// The gradient of the gates' first chunk of a, zero beyond channel 11.
template <class RowType>
__device__ __forceinline__ void load_gates(const float* grad_a_gates, int token,
                                           float (&gates)[8]) {
#pragma unroll
  for (int n = 0; n < 8; ++n) {
    const int c = RowType::channel(n);
    const bool has_one = grad_a_gates != nullptr && c < gate_channels;
    gates[n] = has_one ? grad_a_gates[static_cast<std::int64_t>(token) * gate_channels + c] : 0;
  }
}

// No pointer is __restrict__: gradients may be written over what they are added
// to, row by row.
template <class RowType, bool skips>
__global__ void __launch_bounds__(row_threads, resident_blocks<skips>)
    mix_backward(StreamShape shape, MixInputs in, MixIncoming incoming, MixGradients out,
                 float* partials, KernelMutant mutant) {
  constexpr int numbers = skips ? sums_of_skip_mix : sums_of_mix;
  __shared__ float sums[row_warps][numbers];
  let_next_kernel_start();
  const int width = shape.width;
  const float rho = *in.rho, lam = *in.lam;
  const float strength = skips ? skip_strength(*in.skip.theta, mutant) : 0;
  float of_rho = 0, of_lam = 0, of_theta = 0, of_w[8] = {};  // of this lane; of_theta of its warp

  for (int token = first_row(); token < shape.tokens;
       token += static_cast<int>(gridDim.x) * row_warps) {
    const auto offset = static_cast<std::int64_t>(token) * width;
    const auto x = load_row<RowType>(in.x + offset, width);
    const auto x0 = load_row<RowType>(in.x0 + offset, width);
    const auto grad_a = load_row_or_zero<RowType>(incoming.a, offset, width);
    const auto grad_mixed = load_row<RowType>(incoming.mixed + offset, width);
    RowType x_skip;
    if constexpr (skips) x_skip = load_row<RowType>(in.skip.x_skip + offset, width);
    float gates[8];
    load_gates<RowType>(incoming.a_gates, token, gates);
    const auto of_a = [&](int n) {
      const bool lost = planted(mutant, KernelMutant::mix_drops_gates);
      return grad_a[n] + (n < 8 && !lost ? gates[n % 8] : 0);
    };

    // Through the norm (SPEC §5): g = grad_mixed + r (grad_a - y mean(grad_a
    // y)), y = r mixed.
    float gate = 0;
    if constexpr (skips) gate = gate_of(x0, in.skip.w);
    const auto joining = [&](int n) { return skips ? strength * gate * x_skip[n] : 0.0f; };
    const auto mixed = [&](int n) { return mix(rho, x[n], joining(n), lam, x0[n], mutant); };
    const float squares = row_sum<RowType>([&](int n) { return mixed(n) * mixed(n); });
    const float products = row_sum<RowType>([&](int n) { return of_a(n) * mixed(n); });
    const float inverse = inverse_rms(squares, width, mutant);
    const float mean = inverse * products / static_cast<float>(width);
    float g[RowType::elements];
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) {
      g[n] = grad_mixed[n] + inverse * (of_a(n) - mixed(n) * inverse * mean);
      of_rho +=
          g[n] *
          (planted(mutant, KernelMutant::mix_rho_gradient_of_mixed) ? mixed(n) : x[n] + joining(n));
      of_lam += g[n] * x0[n];
    }

    // Through the skip.
    float grad_logit = 0;
    if constexpr (skips) {
      const float grad_gain = rho * row_sum<RowType>([&](int n) { return g[n] * x_skip[n]; });
      of_theta += gate * grad_gain;
      grad_logit = strength * gate * (1 - gate) * grad_gain;
    }
    float through_gate[8] = {};
    if constexpr (skips) {
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int c = RowType::channel(n);
        if (c >= gate_channels) continue;
        of_w[n] += grad_logit * x0[n];
        through_gate[n] = grad_logit * __bfloat162float(in.skip.w[c]);
      }
      store_rounded<RowType>(out.skip.x_skip + offset, width,
                             [&](int n) { return strength * gate * (rho * g[n]); });
    }
    const auto x0_before = load_row_or_zero<RowType>(incoming.x0_before, offset, width);
    const auto x_before = load_row_or_zero<RowType>(incoming.x_before, offset, width);
    store_rounded<RowType>(out.x + offset, width, [&](int n) { return x_before[n] + rho * g[n]; });
    store_rounded<RowType>(out.x0 + offset, width, [&](int n) {
      const bool lost = planted(mutant, KernelMutant::mix_drops_x0_before);
      return (lost ? 0 : x0_before[n]) + lam * g[n] + (n < 8 ? through_gate[n % 8] : 0);
    });
  }

  const int warp = warp_of_block();
  of_rho = warp_sum(of_rho);
  of_lam = warp_sum(of_lam);
  if (lane_of_warp() == 0) {
    sums[warp][rho_sum] = of_rho;
    sums[warp][lam_sum] = of_lam;
    if constexpr (skips) sums[warp][theta_sum] = of_theta;
  }
  if constexpr (skips) {
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const int c = RowType::channel(n);
      if (c < gate_channels) sums[warp][w_sums + c] = of_w[n];
    }
  }
  leave_partials<numbers>(sums, partials);
}

struct DeliverMix {
  MixGradients to;
  const float* theta;

  __device__ void operator()(int i, float sum) const {
    if (i == rho_sum) {
      *to.rho = sum;
    } else if (i == lam_sum) {
      *to.lam = sum;
    } else if (i == theta_sum) {
      const float share = logistic(*theta);
      *to.skip.theta = 2 * share * (1 - share) * sum;
    } else {
      store(to.skip.w + (i - w_sums), sum);
    }
  }
};

}  // namespace

std::size_t residual_workspace_bytes(const StreamShape& shape) {
  const int blocks = summing_blocks(shape.tokens, resident_blocks<false>);  // the most
  return static_cast<std::size_t>(blocks) * sums_of_skip_mix * sizeof(float);
}

void mix_norm_forward(const StreamShape& shape, const MixInputs& inputs, __nv_bfloat16* mixed,
                      __nv_bfloat16* a, cudaStream_t stream) {
  dispatch_row("mix_norm", shape.tokens, shape.width, [&]<class RowType>() {
    const auto kernel =
        inputs.skip.x_skip == nullptr ? mix_forward<RowType, false> : mix_forward<RowType, true>;
    kernel<<<row_blocks(shape.tokens), row_threads, 0, stream>>>(shape, inputs, mixed, a,
                                                                 active_kernel_mutant());
  });
}

void mix_norm_backward(const StreamShape& shape, const MixInputs& inputs,
                       const MixIncoming& incoming, const MixGradients& gradients, void* workspace,
                       cudaStream_t stream) {
  const bool skips = inputs.skip.x_skip != nullptr;
  const int blocks =
      summing_blocks(shape.tokens, skips ? resident_blocks<true> : resident_blocks<false>);
  float* const partials = static_cast<float*>(workspace);
  dispatch_row("mix_norm", shape.tokens, shape.width, [&]<class RowType>() {
    const auto kernel = skips ? mix_backward<RowType, true> : mix_backward<RowType, false>;
    kernel<<<static_cast<unsigned>(blocks), row_threads, 0, stream>>>(
        shape, inputs, incoming, gradients, partials, active_kernel_mutant());
  });
  deliver_partials(partials, blocks, skips ? sums_of_skip_mix : sums_of_mix,
                   DeliverMix{gradients, inputs.skip.theta}, stream);
}

}  // namespace pairedhead::gpu
