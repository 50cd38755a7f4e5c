#include <stdexcept>
#include <string>

#include "gpu/error.h"
#include "gpu/kernels/chunk.cuh"
#include "gpu/kernels/gate.cuh"
#include "gpu/kernels/gates.h"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/reduce.cuh"

// Limited by memory. A lane holds 8 channels (16 bytes), a group of lanes one (token, head) row. In
// both gates a tensor u is multiplied by sigma = m sig(<a[0:12], w>): the value embedding with
// m = 2, to be added to v, and the attention output with m = 1. What the gate needs of a and w is
// small, and computed again backward.

namespace pairedhead::gpu {
namespace {

constexpr int threads_of_block = 256;
// A group's share forward: two rows on the way keep the memory busier than one.
constexpr int rows_of_group = 2;
// A block's share backward. It sums the weights' gradient over them, so the order of that sum
// depends on the number of tokens alone.
constexpr int tokens_of_block = 16;
constexpr int resident_backward = 8;

template <int group_lanes>
__global__ void __launch_bounds__(threads_of_block)
    gate_forward(GateShape shape, float multiple, const __nv_bfloat16* __restrict__ base,
                 std::int64_t stride_base, const __nv_bfloat16* u,
                 const __nv_bfloat16* __restrict__ a, const __nv_bfloat16* __restrict__ w,
                 __nv_bfloat16* out, KernelMutant mutant) {
  constexpr int groups = threads_of_block / group_lanes;
  const int lane = static_cast<int>(threadIdx.x) % group_lanes;
  const int channel = lane * channels_of_lane;
  const int rows = shape.tokens * shape.heads;
  const int first_row = static_cast<int>(blockIdx.x) * groups * rows_of_group +
                        static_cast<int>(threadIdx.x) / group_lanes;

  Chunk u_chunks[rows_of_group], base_chunks[rows_of_group];
  float logits[rows_of_group];
#pragma unroll
  for (int n = 0; n < rows_of_group; ++n) {
    const int row = first_row + n * groups;
    const int token = row / shape.heads, head = row - token * shape.heads;
    u_chunks[n] = base_chunks[n] = Chunk{};
    logits[n] = 0;
    if (row >= rows) continue;
    if (channel < shape.head_dim) {
      u_chunks[n] = load(u + static_cast<std::int64_t>(row) * shape.head_dim + channel);
      if (base != nullptr) {
        base_chunks[n] =
            load_constant(base + token * stride_base + head * shape.head_dim + channel);
      }
    }
    for (int c = lane; c < gate_channels; c += group_lanes) {
      logits[n] += __bfloat162float(a[static_cast<std::int64_t>(token) * shape.width + c]) *
                   __bfloat162float(w[head * gate_channels + c]);
    }
  }
#pragma unroll
  for (int n = 0; n < rows_of_group; ++n) {
    const int row = first_row + n * groups;
    const float gate = multiple * logistic(group_sum<group_lanes>(logits[n]));
    if (row >= rows || channel >= shape.head_dim) continue;
    const Lane u_lane = widen(u_chunks[n]), base_lane = widen(base_chunks[n]);
    const bool wrong = planted(mutant, KernelMutant::value_gate_on_sum);
    store(out + static_cast<std::int64_t>(row) * shape.head_dim + channel,
          narrow(wrong ? scaled(scaled_sum(1, u_lane, base_lane), gate)
                       : scaled_sum(gate, u_lane, base_lane)));
  }
}

// Of `tokens_of_block` tokens: grad_u = grad_before + sigma g; what reaches the logits goes on to
// grad_a, and its products with a, summed over these tokens, to the partials. g and grad_u, or
// grad_before and grad_u, may be the same.
template <int group_lanes>
__global__ void __launch_bounds__(threads_of_block, resident_backward)
    gate_backward(GateShape shape, float multiple, const __nv_bfloat16* g, std::int64_t stride_g,
                  const __nv_bfloat16* __restrict__ u, const __nv_bfloat16* __restrict__ a,
                  const __nv_bfloat16* __restrict__ w, const __nv_bfloat16* grad_before,
                  __nv_bfloat16* grad_u, float* __restrict__ grad_a, bool accumulate,
                  float* __restrict__ partials, KernelMutant mutant) {
  extern __shared__ float shared[];
  wait_for_kernel_before();
  let_next_kernel_start();
  float* const a_rows = shared;                                     // [tokens_of_block, 12]
  float* const weights = a_rows + tokens_of_block * gate_channels;  // [heads, 12]
  float* const shares = weights + shape.heads * gate_channels;      // [tokens_of_block, heads]
  float* const grad_logits = shares + tokens_of_block * shape.heads;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_token = static_cast<std::int64_t>(blockIdx.x) * tokens_of_block;
  const int tokens =
      static_cast<int>(min(static_cast<std::int64_t>(tokens_of_block), shape.tokens - first_token));

  constexpr int groups = threads_of_block / group_lanes;
  const int lane = thread % group_lanes, channel = lane * channels_of_lane;
  const int rows = tokens * shape.heads;
  Chunk g_chunk, u_chunk, before;
  const auto fetch = [&](int row) {
    g_chunk = u_chunk = before = Chunk{};
    if (row >= rows || channel >= shape.head_dim) return;
    const int token = row / shape.heads, head = row - token * shape.heads;
    const std::int64_t at = (first_token * shape.heads + row) * shape.head_dim + channel;
    g_chunk = load(g + (first_token + token) * stride_g + head * shape.head_dim + channel);
    u_chunk = load_constant(u + at);
    const bool lost = planted(mutant, KernelMutant::table_gradient_overwritten);
    if (grad_before != nullptr && !lost) before = load(grad_before + at);
  };
  fetch(thread / group_lanes);  // on its way while the gates are computed

  for (int i = thread; i < tokens * gate_channels; i += threads_of_block) {
    const int c = i % gate_channels;
    a_rows[i] = __bfloat162float(a[(first_token + i / gate_channels) * shape.width + c]);
  }
  for (int i = thread; i < shape.heads * gate_channels; i += threads_of_block) {
    weights[i] = __bfloat162float(w[i]);
  }
  __syncthreads();

  for (int row = thread; row < rows; row += threads_of_block) {
    const float* const a_row = a_rows + row / shape.heads * gate_channels;
    const float* const w_row = weights + row % shape.heads * gate_channels;
    float logit = 0;
#pragma unroll
    for (int c = 0; c < gate_channels; ++c) logit += a_row[c] * w_row[c];
    shares[row] = logistic(logit);
  }
  __syncthreads();

  for (int first_row = 0; first_row < rows; first_row += groups) {
    const int row = first_row + thread / group_lanes;
    const bool active = row < rows && channel < shape.head_dim;
    const std::int64_t at = (first_token * shape.heads + row) * shape.head_dim + channel;
    const float share = row < rows ? shares[row] : 0, gate = multiple * share;
    const Lane gradient = widen(g_chunk);
    if (active) store(grad_u + at, narrow(scaled_sum(gate, gradient, widen(before))));
    const float grad_gate = group_sum<group_lanes>(dot(gradient, widen(u_chunk)));
    const float slope = planted(mutant, KernelMutant::gate_slope_as_gate) ? 1 : 1 - share;
    if (row < rows && lane == 0) grad_logits[row] = gate * slope * grad_gate;
    fetch(row + groups);
  }
  __syncthreads();

  for (int i = thread; i < tokens * gate_channels; i += threads_of_block) {
    const int token = i / gate_channels, c = i % gate_channels;
    float sum = 0;
    for (int head = 0; head < shape.heads; ++head) {
      sum += grad_logits[token * shape.heads + head] * weights[head * gate_channels + c];
    }
    float* const to = grad_a + first_token * gate_channels + i;
    const bool adds = accumulate && !planted(mutant, KernelMutant::gates_gradient_overwritten);
    *to = adds ? *to + sum : sum;
  }
  const int numbers = shape.heads * gate_channels;
  for (int i = thread; i < numbers; i += threads_of_block) {
    const int head = i / gate_channels, c = i % gate_channels;
    float sum = 0;
    for (int token = 0; token < tokens; ++token) {
      sum += grad_logits[token * shape.heads + head] * a_rows[token * gate_channels + c];
    }
    partials[static_cast<unsigned>(i) * gridDim.x + blockIdx.x] = sum;
  }
}

void check_shape(const GateShape& shape, std::int64_t stride) {
  const auto require = [](bool holds, const char* what, std::int64_t got) {
    if (!holds) {
      throw std::invalid_argument("gates: expected " + std::string(what) + ", got " +
                                  std::to_string(got));
    }
  };
  require(shape.tokens >= 1, "at least one token", shape.tokens);
  require(shape.heads >= 1 && shape.heads <= 64, "1 to 64 heads", shape.heads);
  require(shape.head_dim % 8 == 0 && shape.head_dim >= 8 && shape.head_dim <= 128,
          "head_dim a multiple of 8 from 8 to 128", shape.head_dim);
  require(std::int64_t{shape.tokens} * shape.heads <= 1 << 30, "at most 2^30 heads of tokens",
          std::int64_t{shape.tokens} * shape.heads);
  require(shape.width >= gate_channels, "at least 12 channels", shape.width);
  require(stride % 8 == 0 && stride >= shape.heads * shape.head_dim,
          "a token stride that is a multiple of 8 and holds all heads", stride);
}

// Calls launch<lanes of a group>(): the smallest power of two that holds a row.
template <class Launch>
void dispatch(const GateShape& shape, std::int64_t stride, const Launch& launch) {
  check_shape(shape, stride);
  if (shape.head_dim <= 16) {
    launch.template operator()<2>();
  } else if (shape.head_dim <= 32) {
    launch.template operator()<4>();
  } else if (shape.head_dim <= 64) {
    launch.template operator()<8>();
  } else {
    launch.template operator()<16>();
  }
  CUDA_CHECK(cudaGetLastError());
}

int blocks_backward(const GateShape& shape) {
  return (shape.tokens + tokens_of_block - 1) / tokens_of_block;
}

void forward(const GateShape& shape, float multiple, const __nv_bfloat16* base,
             std::int64_t stride_base, const __nv_bfloat16* u, const __nv_bfloat16* a,
             const __nv_bfloat16* w, __nv_bfloat16* out, cudaStream_t stream) {
  dispatch(shape, stride_base, [&]<int group_lanes>() {
    constexpr int rows_of_block = threads_of_block / group_lanes * rows_of_group;
    const auto rows = static_cast<std::int64_t>(shape.tokens) * shape.heads;
    const auto blocks = static_cast<unsigned>((rows + rows_of_block - 1) / rows_of_block);
    gate_forward<group_lanes><<<blocks, threads_of_block, 0, stream>>>(
        shape, multiple, base, stride_base, u, a, w, out, active_kernel_mutant());
  });
}

void backward(const GateShape& shape, float multiple, const __nv_bfloat16* g, std::int64_t stride_g,
              const __nv_bfloat16* u, const __nv_bfloat16* a, const __nv_bfloat16* w,
              const __nv_bfloat16* grad_before, __nv_bfloat16* grad_u, __nv_bfloat16* grad_w,
              float* grad_a, bool accumulate, void* workspace, cudaStream_t stream) {
  auto* const partials = static_cast<float*>(workspace);
  const int blocks = blocks_backward(shape);
  dispatch(shape, stride_g, [&]<int group_lanes>() {
    const std::size_t shared =
        sizeof(float) *
        static_cast<std::size_t>(tokens_of_block * (gate_channels + 2 * shape.heads) +
                                 shape.heads * gate_channels);
    launch_overlapped(gate_backward<group_lanes>,
                      {dim3(static_cast<unsigned>(blocks)), threads_of_block, shared}, stream,
                      shape, multiple, g, stride_g, u, a, w, grad_before, grad_u, grad_a,
                      accumulate, partials, active_kernel_mutant());
  });
  sum_partials(partials, blocks, shape.heads * gate_channels, grad_w, stream);
}

std::int64_t contiguous(const GateShape& shape) {
  return static_cast<std::int64_t>(shape.heads) * shape.head_dim;
}

float value_multiple() {
  return planted(active_kernel_mutant(), KernelMutant::value_gate_not_doubled) ? 1.0f : 2.0f;
}

}  // namespace

std::size_t gate_workspace_bytes(const GateShape& shape) {
  return sizeof(float) * static_cast<std::size_t>(blocks_backward(shape)) *
         static_cast<std::size_t>(shape.heads * gate_channels);
}

void value_mix_forward(const GateShape& shape, const __nv_bfloat16* v, std::int64_t stride_token_v,
                       const __nv_bfloat16* ve, const __nv_bfloat16* a, const __nv_bfloat16* w,
                       __nv_bfloat16* mixed, cudaStream_t stream) {
  forward(shape, value_multiple(), v, stride_token_v, ve, a, w, mixed, stream);
}

void value_mix_backward(const GateShape& shape, const __nv_bfloat16* grad_mixed,
                        std::int64_t stride_token, const __nv_bfloat16* ve, const __nv_bfloat16* a,
                        const __nv_bfloat16* w, const __nv_bfloat16* grad_ve_before,
                        __nv_bfloat16* grad_ve, __nv_bfloat16* grad_w, float* grad_a,
                        bool accumulate, void* workspace, cudaStream_t stream) {
  backward(shape, value_multiple(), grad_mixed, stride_token, ve, a, w, grad_ve_before, grad_ve,
           grad_w, grad_a, accumulate, workspace, stream);
}

void output_gate_forward(const GateShape& shape, const __nv_bfloat16* y, const __nv_bfloat16* a,
                         const __nv_bfloat16* w, __nv_bfloat16* gated, cudaStream_t stream) {
  forward(shape, 1, nullptr, contiguous(shape), y, a, w, gated, stream);
}

void output_gate_backward(const GateShape& shape, const __nv_bfloat16* grad_gated,
                          const __nv_bfloat16* y, const __nv_bfloat16* a, const __nv_bfloat16* w,
                          __nv_bfloat16* grad_y, __nv_bfloat16* grad_w, float* grad_a,
                          bool accumulate, void* workspace, cudaStream_t stream) {
  backward(shape, 1, grad_gated, contiguous(shape), y, a, w, nullptr, grad_y, grad_w, grad_a,
           accumulate, workspace, stream);
}

}  // namespace pairedhead::gpu
