#include <cstdint>
#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/qk_prepare.h"

// One pass over query and key, limited by memory: a lane holds 8 channels (16 bytes) of the query
// and of the key of one (token, head) row, a group of lanes the whole row, so that both members of
// a rotary pair sit in one lane and the norm is a few shuffles. The key shift costs nothing:
// forward a shifted channel is stored one row further on, backward its gradient is loaded from
// there. No row is read or rotated twice.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
constexpr float rms_epsilon = 0x1p-23f;

// y[d] = cosine[d] x[d] + direction * sine[d] x[d xor 1]; direction -1 is the adjoint.
__device__ __forceinline__ Lane rotated(const Lane& x, const Chunk& cosine, const Chunk& sine,
                                        float direction) {
  Lane y;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    const float2 c = widen(cosine.pair[i]);
    const float2 s = widen(sine.pair[i]);
    y.pair[i].x = c.x * x.pair[i].x + direction * s.x * x.pair[i].y;
    y.pair[i].y = c.y * x.pair[i].y + direction * s.y * x.pair[i].x;
  }
  return y;
}

// Which of a lane's rotary pairs are shifted, one bit each: channels [D/4, D/2) and [3D/4, D). D/4
// is even, so a pair is never split.
__device__ __forceinline__ unsigned shifted_pairs(int channel, int head_dim) {
  unsigned mask = 0;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    mask |= ((channel + 2 * i) % (head_dim / 2) >= head_dim / 4 ? 1u : 0u) << i;
  }
  return mask;
}
constexpr unsigned all_pairs = (1u << pairs_of_lane) - 1;

struct Tables {
  const __nv_bfloat16 *cosine, *sine;
};

// Where one lane works.
struct Place {
  int token, head, channel;
  bool active;
};

template <int group_lanes>
__device__ __forceinline__ Place place(const QkPrepareProblem& problem) {
  const auto row = static_cast<std::int64_t>(blockIdx.x) * (threads_of_block / group_lanes) +
                   static_cast<int>(threadIdx.x) / group_lanes;
  Place place;
  place.channel = static_cast<int>(threadIdx.x) % group_lanes * channels_of_lane;
  place.token = static_cast<int>(row / problem.heads);
  place.head = static_cast<int>(row - static_cast<std::int64_t>(place.token) * problem.heads);
  place.active = place.token < problem.tokens && place.channel < problem.head_dim;
  return place;
}

__device__ __forceinline__ std::int64_t factor_offset(const QkPrepareProblem& problem,
                                                      const Place& at, KernelMutant mutant) {
  const bool second =
      problem.paired && at.head % 2 != 0 && !planted(mutant, KernelMutant::no_stagger);
  return static_cast<std::int64_t>(at.token) * (problem.paired ? 2 : 1) * problem.head_dim +
         (second ? problem.head_dim : 0) + at.channel;
}

__device__ __forceinline__ std::int64_t offset(const QkPrepareProblem& problem, const Place& at,
                                               std::int64_t stride_token) {
  return at.token * stride_token + at.head * problem.head_dim + at.channel;
}

// Stores the pairs of `which`; a whole chunk at once where it is not split.
__device__ __forceinline__ void store_pairs(__nv_bfloat16* to, const Chunk& chunk, unsigned which) {
  if (which == all_pairs) {
    store(to, chunk);
    return;
  }
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    if (which >> i & 1u) reinterpret_cast<__nv_bfloat162*>(to)[i] = chunk.pair[i];
  }
}

// Delivers a rotated key: shifted channels one token on; row 0 also keeps its own.
__device__ __forceinline__ void store_key(const QkPrepareProblem& problem, const Place& at,
                                          __nv_bfloat16* key, const Chunk& chunk,
                                          KernelMutant mutant) {
  const std::int64_t stride = static_cast<std::int64_t>(problem.heads) * problem.head_dim;
  __nv_bfloat16* own = key + offset(problem, at, stride);
  const unsigned shifted = problem.shift_keys ? shifted_pairs(at.channel, problem.head_dim) : 0u;
  store_pairs(own, chunk, all_pairs & ~shifted);
  if (shifted == 0) return;
  if (at.token + 1 < problem.tokens) store_pairs(own + stride, chunk, shifted);
  if (at.token == 0) {
    const bool zero = planted(mutant, KernelMutant::zero_row_before_first);
    store_pairs(own, zero ? Chunk{} : chunk, shifted);
  }
}

template <int group_lanes>
__global__ void __launch_bounds__(threads_of_block)
    prepare_forward(QkPrepareProblem problem, const __nv_bfloat16* __restrict__ query_in,
                    const __nv_bfloat16* __restrict__ key_in, Tables tables,
                    __nv_bfloat16* __restrict__ query, __nv_bfloat16* __restrict__ key,
                    KernelMutant mutant) {
  const Place at = place<group_lanes>(problem);
  Chunk q{}, k{}, cosine{}, sine{};
  if (at.active) {
    const std::int64_t in = offset(problem, at, problem.stride_token_in);
    const std::int64_t factors = factor_offset(problem, at, mutant);
    q = load_constant(query_in + in);
    k = load_constant(key_in + in);
    cosine = load_constant(tables.cosine + factors);
    sine = load_constant(tables.sine + factors);
  }
  Lane q_row = widen(q), k_row = widen(k);
  if (problem.normalise) {
    const float count = static_cast<float>(problem.head_dim);
    const float q_squares = group_sum<group_lanes>(dot(q_row, q_row));
    const float k_squares = group_sum<group_lanes>(dot(k_row, k_row));
    q_row = scaled(q_row, rsqrtf(q_squares / count + rms_epsilon));
    k_row = scaled(k_row, rsqrtf(k_squares / count + rms_epsilon));
  }
  if (!at.active) return;
  const std::int64_t stride = static_cast<std::int64_t>(problem.heads) * problem.head_dim;
  store(query + offset(problem, at, stride), narrow(rotated(q_row, cosine, sine, 1)));
  if (planted(mutant, KernelMutant::shift_before_rotary) && problem.shift_keys &&
      at.token + 1 < problem.tokens && shifted_pairs(at.channel, problem.head_dim) == all_pairs) {
    Place next = at;
    ++next.token;
    cosine = load_constant(tables.cosine + factor_offset(problem, next, mutant));
    sine = load_constant(tables.sine + factor_offset(problem, next, mutant));
  }
  store_key(problem, at, key, narrow(rotated(k_row, cosine, sine, 1)), mutant);
}

// The shift's adjoint: the gradient of the rotated key of this row. Row t gave its shifted channels
// to row t + 1, and row 0 to itself as well; the last row gave them to nobody.
__device__ __forceinline__ Lane load_key_gradient(const QkPrepareProblem& problem, const Place& at,
                                                  const __nv_bfloat16* grad_key) {
  const std::int64_t stride = static_cast<std::int64_t>(problem.heads) * problem.head_dim;
  const __nv_bfloat16* own = grad_key + offset(problem, at, stride);
  const unsigned shifted = problem.shift_keys ? shifted_pairs(at.channel, problem.head_dim) : 0u;
  const bool reads_own = shifted != all_pairs || at.token == 0;
  const bool reads_next = shifted != 0 && at.token + 1 < problem.tokens;
  const Lane here = widen(reads_own ? load_constant(own) : Chunk{});
  const Lane next = widen(reads_next ? load_constant(own + stride) : Chunk{});
  Lane grad;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    const bool from_next = shifted >> i & 1u;
    const float2 kept = !from_next || at.token == 0 ? here.pair[i] : float2{0, 0};
    grad.pair[i].x = kept.x + (from_next ? next.pair[i].x : 0);
    grad.pair[i].y = kept.y + (from_next ? next.pair[i].y : 0);
  }
  return grad;
}

// Norm backward of one row: r (g - y mean(g y)), y = r x (SPEC §5).
template <int group_lanes>
__device__ __forceinline__ Lane norm_backward(const QkPrepareProblem& problem, const Lane& x,
                                              const Lane& grad) {
  if (!problem.normalise) return grad;
  const float count = static_cast<float>(problem.head_dim);
  const float squares = group_sum<group_lanes>(dot(x, x));
  const float products = group_sum<group_lanes>(dot(grad, x));
  const float inverse = rsqrtf(squares / count + rms_epsilon);
  const float mean = inverse * products / count;
  Lane result;
#pragma unroll
  for (int i = 0; i < pairs_of_lane; ++i) {
    result.pair[i].x = inverse * (grad.pair[i].x - x.pair[i].x * inverse * mean);
    result.pair[i].y = inverse * (grad.pair[i].y - x.pair[i].y * inverse * mean);
  }
  return result;
}

template <int group_lanes>
__global__ void __launch_bounds__(threads_of_block)
    prepare_backward(QkPrepareProblem problem, const __nv_bfloat16* __restrict__ query_in,
                     const __nv_bfloat16* __restrict__ key_in, Tables tables,
                     const __nv_bfloat16* __restrict__ grad_query,
                     const __nv_bfloat16* __restrict__ grad_key,
                     __nv_bfloat16* __restrict__ grad_query_in,
                     __nv_bfloat16* __restrict__ grad_key_in, KernelMutant mutant) {
  const Place at = place<group_lanes>(problem);
  const std::int64_t in = offset(problem, at, problem.stride_token_in);
  Chunk q{}, k{}, cosine{}, sine{}, grad_q{};
  Lane grad_k{};
  if (at.active) {
    const std::int64_t stride = static_cast<std::int64_t>(problem.heads) * problem.head_dim;
    const std::int64_t factors = factor_offset(problem, at, mutant);
    q = load_constant(query_in + in);
    k = load_constant(key_in + in);
    grad_q = load_constant(grad_query + offset(problem, at, stride));
    grad_k = load_key_gradient(problem, at, grad_key);
    cosine = load_constant(tables.cosine + factors);
    sine = load_constant(tables.sine + factors);
  }
  const float direction = planted(mutant, KernelMutant::rotary_backward_same_angle) ? 1 : -1;
  const Lane q_result = norm_backward<group_lanes>(problem, widen(q),
                                                   rotated(widen(grad_q), cosine, sine, direction));
  const Lane k_result =
      norm_backward<group_lanes>(problem, widen(k), rotated(grad_k, cosine, sine, direction));
  if (!at.active) return;
  store(grad_query_in + in, narrow(q_result));
  store(grad_key_in + in, narrow(k_result));
}

void check_problem(const QkPrepareProblem& problem) {
  const auto require = [](bool holds, const char* what, long got) {
    if (!holds) {
      throw std::invalid_argument("qk_prepare: expected " + std::string(what) + ", got " +
                                  std::to_string(got));
    }
  };
  require(problem.tokens >= 1, "at least one token", problem.tokens);
  require(problem.heads >= 1, "at least one head", problem.heads);
  require(problem.head_dim % 8 == 0 && problem.head_dim >= 8 && problem.head_dim <= 128,
          "head_dim a multiple of 8 from 8 to 128", problem.head_dim);
  require(problem.stride_token_in % 8 == 0 &&
              problem.stride_token_in >= static_cast<long>(problem.heads) * problem.head_dim,
          "a token stride that is a multiple of 8 and holds all heads", problem.stride_token_in);
}

// Calls launch<lanes of a group>(blocks): the smallest power of two that holds a row.
template <class Launch>
void dispatch(const QkPrepareProblem& problem, const Launch& launch) {
  check_problem(problem);
  const auto blocks = [&](int group_lanes) {
    const int rows_of_block = threads_of_block / group_lanes;
    const auto rows = static_cast<std::int64_t>(problem.tokens) * problem.heads;
    return static_cast<unsigned>((rows + rows_of_block - 1) / rows_of_block);
  };
  if (problem.head_dim <= 16) {
    launch.template operator()<2>(blocks(2));
  } else if (problem.head_dim <= 32) {
    launch.template operator()<4>(blocks(4));
  } else if (problem.head_dim <= 64) {
    launch.template operator()<8>(blocks(8));
  } else {
    launch.template operator()<16>(blocks(16));
  }
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

void qk_prepare_forward(const QkPrepareProblem& problem, const __nv_bfloat16* query_in,
                        const __nv_bfloat16* key_in, const __nv_bfloat16* cosine,
                        const __nv_bfloat16* sine, __nv_bfloat16* query, __nv_bfloat16* key,
                        cudaStream_t stream) {
  dispatch(problem, [&]<int group_lanes>(unsigned blocks) {
    prepare_forward<group_lanes><<<blocks, threads_of_block, 0, stream>>>(
        problem, query_in, key_in, {cosine, sine}, query, key, active_kernel_mutant());
  });
}

void qk_prepare_backward(const QkPrepareProblem& problem, const __nv_bfloat16* query_in,
                         const __nv_bfloat16* key_in, const __nv_bfloat16* cosine,
                         const __nv_bfloat16* sine, const __nv_bfloat16* grad_query,
                         const __nv_bfloat16* grad_key, __nv_bfloat16* grad_query_in,
                         __nv_bfloat16* grad_key_in, cudaStream_t stream) {
  dispatch(problem, [&]<int group_lanes>(unsigned blocks) {
    prepare_backward<group_lanes><<<blocks, threads_of_block, 0, stream>>>(
        problem, query_in, key_in, {cosine, sine}, grad_query, grad_key, grad_query_in, grad_key_in,
        active_kernel_mutant());
  });
}

}  // namespace pairedhead::gpu
