#include <cmath>
#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/alignment.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/fp8_both_ways.cuh"
#include "gpu/kernels/hopper.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"
#include "gpu/kernels/softcap_loss.h"

// Limited by memory and, nearly as much, by the unit for exponentials and reciprocals: a logit
// needs two exponentials and a reciprocal, 16 of them a cycle and multiprocessor, which would
// take 2.1 ms for the 2.5e9 logits that an H100 reads in 1.65 ms and an H200 in 1.17. The forward
// therefore takes one reciprocal for four logits, and one in eight exponentials from the units that
// multiply and add (at one in four, those are the busier ones). No capped logit passes 23, so no
// sum of exponentials needs a running maximum.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_row = 256;
constexpr int chunks_in_flight = 4;  // of 16 bytes, a thread

constexpr float cap = 23, offset = 5, divisor = 7.5f;
constexpr float log2_of_e = 1.44269504f;
constexpr float cap_log2 = cap * log2_of_e;

// l = 23 sig(u) = 23 / (1 + e^-u), u = (z + 5) / 7.5: this is e^-u.
__device__ __forceinline__ float decay(float z, KernelMutant mutant) {
  const float shift = planted(mutant, KernelMutant::softcap_offset_sign) ? -offset : offset;
  constexpr float slope = -log2_of_e / divisor;
  return hopper::exp2_approximate(__fmaf_rn(z, slope, slope * shift));
}

// Logits under `least` count as `least`, so that the product of as many (1 + e^-u) as share a
// reciprocal stays finite; NaN stays NaN.
template <int least>
__device__ __forceinline__ float2 at_least(const __nv_bfloat162& pair) {
  return widen(__hmax2_nan(pair, __float2bfloat162_rn(static_cast<float>(least))));
}
// e^(4 * 20.7) is finite, and 23 sig(-20.7) = 2.5e-8 adds nothing to the 1 of its exponential.
constexpr int least_of_four = -160;
// e^86.8 is finite; slopes below are under the smallest normal.
constexpr int least_alone = -656;

// 2^x, 0 <= x < 128, to two units in the last place, without the unit for exponentials: a
// polynomial in the fraction, shifted by the whole part through the bits of its exponent. NaN gives
// no NaN.
__device__ __forceinline__ float exp2_polynomial(float x) {
  constexpr float whole_in_low_bits = 0x1.8p23f;
  const float whole = x + whole_in_low_bits;
  const float fraction = x - (whole - whole_in_low_bits);  // -1/2 ... 1/2
  float y = 0x1.5c08e6p-10f;
  y = __fmaf_rn(y, fraction, 0x1.3d0c54p-7f);
  y = __fmaf_rn(y, fraction, 0x1.c6b6e4p-5f);
  y = __fmaf_rn(y, fraction, 0x1.ebf918p-3f);
  y = __fmaf_rn(y, fraction, 0x1.62e428p-1f);
  y = __fmaf_rn(y, fraction, 0x1.000002p+0f);
  return __uint_as_float(__float_as_uint(y) + (__float_as_uint(whole) << 23));
}

// The sum of e^l over four logits; a NaN among them is in the reciprocal that all share.
__device__ __forceinline__ float exponential_sum(float2 first, float2 second, KernelMutant mutant) {
  const float a = 1 + decay(first.x, mutant), b = 1 + decay(first.y, mutant);
  const float c = 1 + decay(second.x, mutant), d = 1 + decay(second.y, mutant);
  const float ab = a * b, cd = c * d;
  const float inverse = cap_log2 * hopper::reciprocal_approximate(ab * cd);
  const float over_ab = inverse * cd, over_cd = inverse * ab;
  return (hopper::exp2_approximate(over_ab * b) + hopper::exp2_approximate(over_ab * a)) +
         (hopper::exp2_approximate(over_cd * d) + exp2_polynomial(over_cd * c));
}

// The sum of e^l over a chunk of which `count` logits exist.
template <bool vectors>
__device__ __forceinline__ float exponential_sum(const Chunk& chunk, int count,
                                                 KernelMutant mutant) {
  if (planted(mutant, KernelMutant::logsumexp_without_softcap)) {
    float sum = 0;
    for (int i = 0; i < count && i < channels_of_lane; ++i) {
      sum += expf(__bfloat162float(i % 2 == 0 ? chunk.pair[i / 2].x : chunk.pair[i / 2].y));
    }
    return sum;
  }
  if (vectors || count >= channels_of_lane) {
    return exponential_sum(at_least<least_of_four>(chunk.pair[0]),
                           at_least<least_of_four>(chunk.pair[1]), mutant) +
           exponential_sum(at_least<least_of_four>(chunk.pair[2]),
                           at_least<least_of_four>(chunk.pair[3]), mutant);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < channels_of_lane; ++i) {
    if (i >= count) continue;
    const float2 pair = at_least<least_of_four>(chunk.pair[i / 2]);
    const float inverse =
        hopper::reciprocal_approximate(1 + decay(i % 2 == 0 ? pair.x : pair.y, mutant));
    sum += hopper::exp2_approximate(cap_log2 * inverse);
  }
  return sum;
}

// What the launchers hand to every kernel.
struct Problem {
  int tokens, vocabulary;
  const std::int32_t* targets;
  LossSettings settings;
  KernelMutant mutant;
};

// The target of horizon k of a position and what its term is multiplied by; no target, -1 and 0,
// where the horizon ends behind the sequence.
struct Term {
  int target = -1;
  float weight = 0;
};

__device__ __forceinline__ Term term_of(const Problem& problem, int token, int horizon) {
  const LossSettings& settings = problem.settings;
  if (horizon >= (settings.validation ? 1 : settings.horizons)) return {};
  int ahead = token + horizon;
  if (planted(problem.mutant, KernelMutant::mtp_tail_wraps)) ahead %= problem.tokens;
  if (ahead >= problem.tokens) return {};
  Term term = {problem.targets[ahead], settings.validation ? 1 / static_cast<float>(problem.tokens)
                                                           : settings.mtp_weights[horizon]};
  if (planted(problem.mutant, KernelMutant::mtp_divided_by_weights) && !settings.validation) {
    float sum = 0;
    for (int k = 0; k < settings.horizons; ++k) sum += settings.mtp_weights[k];
    term.weight /= sum;
  }
  return term;
}

// Calls visit(chunk, column) for the chunks of a row that are this thread's, several loaded at
// once.
template <bool vectors, class Visit>
__device__ __forceinline__ void for_each_chunk(const __nv_bfloat16* row, int count, Visit visit) {
  constexpr int stride = threads_of_row * channels_of_lane;
  const int first = static_cast<int>(threadIdx.x) * channels_of_lane;
  for (int column = first; column < count; column += chunks_in_flight * stride) {
    Chunk chunks[chunks_in_flight];
#pragma unroll
    for (int i = 0; i < chunks_in_flight; ++i) {
      chunks[i] = load_chunk<vectors>(row, column + i * stride, count);
    }
#pragma unroll
    for (int i = 0; i < chunks_in_flight; ++i) {
      if (column + i * stride < count) visit(chunks[i], column + i * stride);
    }
  }
}

// One row a block. terms: [T], the position's share of the loss, and of its term k = 0 alone.
template <bool vectors>
__global__ void __launch_bounds__(threads_of_row)
    loss_forward(Problem problem, const __nv_bfloat16* z, float* logsumexp, float2* terms,
                 float* token_losses) {
  __shared__ float shared[threads_of_row / warp_threads];
  const int token = static_cast<int>(blockIdx.x), horizon = static_cast<int>(threadIdx.x);
  const __nv_bfloat16* row = z + static_cast<std::int64_t>(token) * problem.vocabulary;
  const Term term = horizon < most_horizons ? term_of(problem, token, horizon) : Term{};
  const float logit = term.target >= 0 ? __bfloat162float(row[term.target]) : 0;

  float sum = 0;
  for_each_chunk<vectors>(row, problem.vocabulary, [&](const Chunk& chunk, int column) {
    sum += exponential_sum<vectors>(chunk, problem.vocabulary - column, problem.mutant);
  });
  sum = block_sum<threads_of_row>(sum, shared);
  if (threadIdx.x >= warp_threads) return;

  const float log_sum = logf(sum);
  const float shift = planted(problem.mutant, KernelMutant::softcap_offset_sign) ? -offset : offset;
  const float missing = log_sum - cap / (1 + expf((logit + shift) / -divisor));
  // Added by every lane alike, the farthest horizon first.
  float loss = 0;
#pragma unroll
  for (int k = most_horizons - 1; k >= 0; --k) {
    const float share = term.target >= 0 ? term.weight * missing : 0;
    loss += __shfl_sync(0xffffffffu, share, k);
  }
  if (threadIdx.x == 0) {
    logsumexp[token] = log_sum;
    terms[token] = {loss, missing};
    if (token_losses != nullptr) token_losses[token] = missing;
  }
}

__global__ void __launch_bounds__(1024)
    sum_terms(Problem problem, const float2* terms, float* loss, float* next_token_loss) {
  __shared__ float shared[1024 / warp_threads];
  float2 sum = {0, 0};
  for (int token = static_cast<int>(threadIdx.x); token < problem.tokens; token += 1024) {
    sum.x += terms[token].x;
    sum.y += terms[token].y;
  }
  sum.x = block_sum<1024>(sum.x, shared);
  sum.y = block_sum<1024>(sum.y, shared);
  if (threadIdx.x != 0) return;
  *loss = sum.x;
  if (next_token_loss == nullptr) return;
  *next_token_loss =
      problem.settings.validation ? sum.y / static_cast<float>(problem.tokens) : sum.y;
}

// What a row's gradient is made from: dz = 23/7.5 grad_loss (W softmax - what the targets ask for)
// e^-u sig(u)^2 (SPEC §5).
struct RowGradient {
  float logsumexp_log2;
  float softmax;               // 23/7.5 grad_loss W
  int target[most_horizons];   // -1: none
  float asked[most_horizons];  // 23/7.5 grad_loss w_k
};

__device__ __forceinline__ RowGradient row_gradient(const Problem& problem, const float* logsumexp,
                                                    const float* grad_loss, int token) {
  RowGradient row;
  row.logsumexp_log2 = logsumexp[token] * log2_of_e;
  const float factor = cap / divisor * *grad_loss;
  float weights = 0;
#pragma unroll
  for (int k = 0; k < most_horizons; ++k) {
    const Term term = term_of(problem, token, k);
    row.target[k] = term.target;
    row.asked[k] = factor * term.weight;
    weights += term.weight;
  }
  if (planted(problem.mutant, KernelMutant::coinciding_targets_count_once)) {
    for (int k = 1; k < most_horizons; ++k) {
      for (int earlier = 0; earlier < k; ++earlier) {
        if (row.target[k] == row.target[earlier]) row.asked[k] = 0;
      }
    }
  }
  row.softmax = factor * weights;
  return row;
}

// The gradient of 8 logits. Products and sums are written out, so that every kernel rounds alike.
__device__ __forceinline__ Chunk gradient(const Chunk& z, const RowGradient& row, int column,
                                          KernelMutant mutant) {
  float grad[channels_of_lane], slope[channels_of_lane];
#pragma unroll
  for (int i = 0; i < channels_of_lane; i += 2) {
    const float2 pair = at_least<least_alone>(z.pair[i / 2]);
#pragma unroll
    for (int n = i; n < i + 2; ++n) {
      const float e = decay(n == i ? pair.x : pair.y, mutant);
      const float sigmoid = hopper::reciprocal_approximate(__fadd_rn(1, e));
      slope[n] = __fmul_rn(__fmul_rn(e, sigmoid), sigmoid);
      grad[n] = __fmul_rn(
          row.softmax, hopper::exp2_approximate(__fmaf_rn(sigmoid, cap_log2, -row.logsumexp_log2)));
    }
  }
  int places[most_horizons];
  bool any_asked = false;
#pragma unroll
  for (int k = 0; k < most_horizons; ++k) {
    places[k] = row.target[k] - column;
    any_asked |= static_cast<unsigned>(places[k]) < channels_of_lane;
  }
  if (any_asked) {
#pragma unroll
    for (int k = 0; k < most_horizons; ++k) {
      const float asked = row.asked[k];
#pragma unroll
      for (int i = 0; i < channels_of_lane; ++i) {
        grad[i] = __fsub_rn(grad[i], places[k] == i ? asked : 0);
      }
    }
  }
  Chunk result;
#pragma unroll
  for (int i = 0; i < channels_of_lane / 2; ++i) {
    result.pair[i] = __floats2bfloat162_rn(__fmul_rn(grad[2 * i], slope[2 * i]),
                                           __fmul_rn(grad[2 * i + 1], slope[2 * i + 1]));
  }
  return result;
}

// One row a block. grad_z may be z.
template <bool vectors>
__global__ void __launch_bounds__(threads_of_row)
    loss_backward(Problem problem, const __nv_bfloat16* z, const float* logsumexp,
                  const float* grad_loss, __nv_bfloat16* grad_z) {
  const int token = static_cast<int>(blockIdx.x);
  const std::int64_t begin = static_cast<std::int64_t>(token) * problem.vocabulary;
  const RowGradient row = row_gradient(problem, logsumexp, grad_loss, token);
  for_each_chunk<vectors>(z + begin, problem.vocabulary, [&](const Chunk& chunk, int column) {
    store_chunk<vectors>(grad_z + begin, column, problem.vocabulary,
                         gradient(chunk, row, column, problem.mutant));
  });
}

// The gradient in e5m2 (SPEC §3.10 "dz": bf16, then e5m2).
template <bool mends>
struct GradientEncoder {
  static constexpr int passes = 2, resident_blocks = 3;

  Problem problem;
  const float *logsumexp, *grad_loss;
  Fp8Divider<mends> divide;

  struct Shared {
    RowGradient row[both_ways::tile_rows];
  };

  __device__ void prepare(Shared& shared, std::int64_t first_row) const {
    const int thread = static_cast<int>(threadIdx.x);
    const int token = static_cast<int>(first_row) + thread;
    if (thread < both_ways::tile_rows && token < problem.tokens) {
      shared.row[thread] = row_gradient(problem, logsumexp, grad_loss, token);
    }
  }

  __device__ __forceinline__ ChunkCodes codes(const Shared& shared, const Chunk& z, int row,
                                              std::int64_t column) const {
    const Chunk grad = gradient(z, shared.row[row], static_cast<int>(column), problem.mutant);
    return planted(problem.mutant, KernelMutant::gradient_in_e4m3)
               ? fp8_codes<__NV_E4M3>(grad, divide)
               : fp8_codes<__NV_E5M2>(grad, divide);
  }
};

Problem checked(const LossShape& shape, const std::int32_t* targets, const LossSettings& settings) {
  const auto require = [](bool holds, const char* what, int got) {
    if (holds) return;
    throw std::invalid_argument("softcap_loss: expected " + std::string(what) + ", got " +
                                std::to_string(got));
  };
  require(shape.tokens >= 1, "at least one token", shape.tokens);
  require(shape.vocabulary >= 1, "a vocabulary of at least one token", shape.vocabulary);
  require(settings.horizons >= 1 && settings.horizons <= most_horizons, "1 to 3 horizons",
          settings.horizons);
  return {shape.tokens, shape.vocabulary, targets, settings, active_kernel_mutant()};
}

bool in_vectors(const LossShape& shape, const void* z) {
  return shape.vocabulary % channels_of_lane == 0 && aligned_to_16(z);
}

}  // namespace

std::size_t softcap_loss_workspace_bytes(const LossShape& shape) {
  return static_cast<std::size_t>(shape.tokens) * sizeof(float2);
}

void softcap_loss_forward(const LossShape& shape, const __nv_bfloat16* z,
                          const std::int32_t* targets, const LossSettings& settings,
                          const LossOutputs& outputs, void* workspace, cudaStream_t stream) {
  const Problem problem = checked(shape, targets, settings);
  auto* terms = static_cast<float2*>(workspace);
  const auto kernel = in_vectors(shape, z) ? loss_forward<true> : loss_forward<false>;
  kernel<<<static_cast<unsigned>(shape.tokens), threads_of_row, 0, stream>>>(
      problem, z, outputs.logsumexp, terms, outputs.token_losses);
  CUDA_CHECK(cudaGetLastError());
  if (outputs.loss == nullptr) return;
  sum_terms<<<1, 1024, 0, stream>>>(problem, terms, outputs.loss, outputs.next_token_loss);
  CUDA_CHECK(cudaGetLastError());
}

void softcap_loss_backward(const LossShape& shape, const __nv_bfloat16* z, const float* logsumexp,
                           const std::int32_t* targets, const LossSettings& settings,
                           const float* grad_loss, __nv_bfloat16* grad_z, cudaStream_t stream) {
  const Problem problem = checked(shape, targets, settings);
  const auto kernel =
      in_vectors(shape, z) && aligned_to_16(grad_z) ? loss_backward<true> : loss_backward<false>;
  kernel<<<static_cast<unsigned>(shape.tokens), threads_of_row, 0, stream>>>(problem, z, logsumexp,
                                                                             grad_loss, grad_z);
  CUDA_CHECK(cudaGetLastError());
}

void softcap_loss_backward_fp8(const LossShape& shape, const __nv_bfloat16* z,
                               const float* logsumexp, const std::int32_t* targets,
                               const LossSettings& settings, const float* grad_loss, float scale,
                               std::uint8_t* codes, std::uint8_t* transposed, cudaStream_t stream) {
  const Problem problem = checked(shape, targets, settings);
  if (planted(problem.mutant, KernelMutant::gradient_scale_omitted)) scale = 0.75f;
  with_fp8_divider(scale, [&]<bool mends>(const Fp8Divider<mends>& divide) {
    write_both_ways(GradientEncoder<mends>{problem, logsumexp, grad_loss, divide}, z, shape.tokens,
                    shape.vocabulary, codes, transposed, stream);
  });
}

}  // namespace pairedhead::gpu
