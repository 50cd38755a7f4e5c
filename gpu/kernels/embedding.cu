#include "gpu/kernels/embedding.h"
#include "gpu/kernels/embedding_workspace.h"
#include "gpu/kernels/mutant.h"
#include "gpu/kernels/row.cuh"

// A warp takes a run of neighbouring tokens, so that the row of the previous one, which the smear
// adds, is still in its registers. The smeared rows are never stored: backward makes them again,
// from the last token of the run to the first, because a token's gradient needs the next one's.

namespace pairedhead::gpu {
namespace {

template <class RowType>
__global__ void __launch_bounds__(row_threads)
    gather(EmbeddingShape shape, const std::int32_t* __restrict__ tokens,
           const __nv_bfloat16* __restrict__ table, __nv_bfloat16* __restrict__ rows) {
  const int token = first_row();
  if (token >= shape.tokens) return;
  const auto width = static_cast<std::int64_t>(shape.width);
  store_row(rows + token * width, shape.width,
            load_row<RowType>(table + tokens[token] * width, shape.width));
}

// Where the tokens of a warp lie: [begin, end).
struct Run {
  int begin, end;
};

__device__ __forceinline__ Run run_of_warp(int tokens, int length) {
  const int begin = first_row() * length;
  return {begin, min(begin + length, tokens)};
}

// Which row of the table a position names; none before the first. Loaded one step before the row
// itself, so that a warp does not wait for both in turn.
constexpr int no_row = -1;
__device__ __forceinline__ int named_row(const std::int32_t* tokens, int position) {
  return position < 0 ? no_row : tokens[position];
}

template <class RowType>
__device__ __forceinline__ RowType embedded(const EmbeddingShape& shape, const __nv_bfloat16* table,
                                            int row) {
  if (row == no_row) return RowType{};
  return load_row<RowType>(table + static_cast<std::int64_t>(row) * shape.width, shape.width);
}

// sig(<e_t[0:12], w>); the first token is left alone.
template <class RowType>
__device__ __forceinline__ float smear_gate(const RowType& e, const __nv_bfloat16* w, int token) {
  const float gate = gate_of(e, w);
  return token == 0 ? 0 : gate;
}

// The length of a warp's run: as many warps as run at once, so that all end together, but at least
// `least` tokens, since the token beyond a run costs its warp a row too.
int run_length(int tokens, int blocks_at_once, int least) {
  const int warps = blocks_at_once * row_warps;
  return std::max(least, (tokens + warps - 1) / warps);
}

constexpr int resident_forward = 7;
int forward_run(int tokens) { return run_length(tokens, resident_forward * multiprocessors, 4); }

template <class RowType>
__global__ void __launch_bounds__(row_threads, resident_forward)
    smear_forward(EmbeddingShape shape, int run_length, const std::int32_t* __restrict__ tokens,
                  const __nv_bfloat16* __restrict__ table, const __nv_bfloat16* __restrict__ w,
                  const float* lam, __nv_bfloat16* __restrict__ x0, KernelMutant mutant) {
  const Run run = run_of_warp(shape.tokens, run_length);
  if (run.begin >= run.end) return;
  const float factor = *lam;
  const auto named = [&](int t) { return named_row(tokens, min(t, run.end - 1)); };
  const int row_before = named(run.begin - 1), row = named(run.begin);
  int row_ahead = named(run.begin + 1);
  RowType previous = embedded<RowType>(shape, table, row_before);
  RowType current = embedded<RowType>(shape, table, row);
  for (int token = run.begin; token < run.end; ++token) {
    const RowType next = embedded<RowType>(shape, table, row_ahead);
    row_ahead = named(token + 2);
    const float gain = factor * smear_gate(current, w, token);
    const auto smeared = [&](int n) { return current[n] + gain * previous[n]; };
    const float squares = row_sum<RowType>([&](int n) { return smeared(n) * smeared(n); });
    const float inverse = inverse_rms(squares, shape.width, mutant);
    store_rounded<RowType>(x0 + static_cast<std::int64_t>(token) * shape.width, shape.width,
                           [&](int n) { return inverse * smeared(n); });
    previous =
        planted(mutant, KernelMutant::smear_recursive) ? rounded_row<RowType>(smeared) : current;
    current = next;
  }
}

// What backward sums over tokens: d(lam) and d(w).
constexpr int lam_sum = 0, w_sums = 1, sums_of_smear = w_sums + gate_channels;

constexpr int resident_backward = 3;
// Beside the sort, whose blocks have a multiprocessor each.
int backward_run(int tokens) {
  return run_length(tokens, resident_backward * (multiprocessors - blocks_aside), 8);
}

int backward_blocks(int tokens) {
  const int length = backward_run(tokens);
  return static_cast<int>(row_blocks((tokens + length - 1) / length));
}

template <class RowType>
__global__ void __launch_bounds__(row_threads, resident_backward)
    smear_backward(EmbeddingShape shape, int run_length, const std::int32_t* __restrict__ tokens,
                   const __nv_bfloat16* __restrict__ table, const __nv_bfloat16* __restrict__ w,
                   const float* lam, const __nv_bfloat16* __restrict__ grad_x0,
                   const __nv_bfloat16* __restrict__ grad_x, __nv_bfloat16* __restrict__ grad_e,
                   float* partials, KernelMutant mutant) {
  __shared__ float sums[row_warps][sums_of_smear];
  let_next_kernel_start();
  const Run run = run_of_warp(shape.tokens, run_length);
  const int width = shape.width;
  const float factor = *lam;
  float of_lam = 0, of_w[8] = {};
  // What the next token gives back: its gradient times its gain.
  float returned[RowType::elements] = {};

  // The token behind the run comes first, for what it returns.
  int token = run.end < shape.tokens ? run.end : run.end - 1;
  const auto offset = [&](int t) { return static_cast<std::int64_t>(t) * width; };
  const auto named = [&](int t) { return named_row(tokens, t); };
  RowType current, previous, grad, grad_more;
  int row_behind = no_row;  // of the token before the previous one
  if (run.begin < run.end) {
    const int row = named(token), row_before = named(token - 1);
    row_behind = named(token - 2);
    current = embedded<RowType>(shape, table, row);
    previous = embedded<RowType>(shape, table, row_before);
    grad = load_row<RowType>(grad_x0 + offset(token), width);
    grad_more = load_row_or_zero<RowType>(grad_x, offset(token), width);
  }
  for (; token >= run.begin; --token) {
    RowType behind{}, grad_before{}, more_before{};
    if (token > run.begin) {
      behind = embedded<RowType>(shape, table, row_behind);
      row_behind = named(token - 3);
      grad_before = load_row<RowType>(grad_x0 + offset(token - 1), width);
      more_before = load_row_or_zero<RowType>(grad_x, offset(token - 1), width);
    }

    // Through the norm.
    const float gate = smear_gate(current, w, token), gain = factor * gate;
    const auto smeared = [&](int n) { return current[n] + gain * previous[n]; };
    const auto incoming = [&](int n) { return grad[n] + grad_more[n]; };
    const float squares = row_sum<RowType>([&](int n) { return smeared(n) * smeared(n); });
    const float products = row_sum<RowType>([&](int n) { return incoming(n) * smeared(n); });
    const float inverse = inverse_rms(squares, width, mutant);
    const float mean = inverse * products / static_cast<float>(width);
    float g[RowType::elements];
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) {
      g[n] = inverse * (incoming(n) - smeared(n) * inverse * mean);
    }

    // Through the smear.
    if (token < run.end) {
      const float grad_gate = gate * row_sum<RowType>([&](int n) { return g[n] * previous[n]; });
      const float grad_logit = factor * (1 - gate) * grad_gate;
      of_lam += grad_gate;
      float through_gate[8] = {};
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int c = RowType::channel(n);
        if (c >= gate_channels) continue;
        of_w[n] += grad_logit * current[n];
        through_gate[n] = grad_logit * __bfloat162float(w[c]);
      }
      store_rounded<RowType>(grad_e + offset(token), width, [&](int n) {
        return g[n] + returned[n] + (n < 8 ? through_gate[n % 8] : 0);
      });
    }
#pragma unroll
    for (int n = 0; n < RowType::elements; ++n) {
      returned[n] = planted(mutant, KernelMutant::smear_adjoint_loses_next) ? 0 : gain * g[n];
    }
    current = previous;
    previous = behind;
    grad = grad_before;
    grad_more = more_before;
  }

  const int warp = warp_of_block();
  if (lane_of_warp() == 0) sums[warp][lam_sum] = of_lam;
#pragma unroll
  for (int n = 0; n < 8; ++n) {
    const int c = RowType::channel(n);
    if (c < gate_channels) sums[warp][w_sums + c] = of_w[n];
  }
  leave_partials<sums_of_smear>(sums, partials);
  // The tokens are sorted for whoever waits for this kernel.
  wait_for_kernel_before();
}

struct DeliverSmear {
  float* lam;
  __nv_bfloat16* w;

  __device__ void operator()(int i, float sum) const {
    if (i == lam_sum) {
      *lam = sum;
    } else {
      store(w + (i - w_sums), sum);
    }
  }
};

}  // namespace

std::size_t smear_workspace_bytes(const EmbeddingShape& shape) {
  const auto sums = static_cast<std::size_t>(backward_blocks(shape.tokens)) * sums_of_smear;
  return aligned_bytes(sums * sizeof(float));
}

void gather_rows(const EmbeddingShape& shape, const std::int32_t* tokens,
                 const __nv_bfloat16* table, __nv_bfloat16* rows, cudaStream_t stream) {
  dispatch_row("gather_rows", shape.tokens, shape.width, [&]<class RowType>() {
    gather<RowType>
        <<<row_blocks(shape.tokens), row_threads, 0, stream>>>(shape, tokens, table, rows);
  });
}

void embed_smear_norm_forward(const EmbeddingShape& shape, const std::int32_t* tokens,
                              const __nv_bfloat16* table, const __nv_bfloat16* w, const float* lam,
                              __nv_bfloat16* x0, cudaStream_t stream) {
  const int run = forward_run(shape.tokens);
  const unsigned blocks = row_blocks((shape.tokens + run - 1) / run);
  dispatch_row("embed_smear_norm", shape.tokens, shape.width, [&]<class RowType>() {
    smear_forward<RowType><<<blocks, row_threads, 0, stream>>>(shape, run, tokens, table, w, lam,
                                                               x0, active_kernel_mutant());
  });
}

void embed_smear_norm_backward(const EmbeddingShape& shape, const std::int32_t* tokens,
                               const __nv_bfloat16* table, const __nv_bfloat16* w, const float* lam,
                               const __nv_bfloat16* grad_x0, const __nv_bfloat16* grad_x,
                               __nv_bfloat16* grad_e, __nv_bfloat16* grad_w, float* grad_lam,
                               void* order, void* workspace, cudaStream_t stream) {
  const int blocks = backward_blocks(shape.tokens);
  float* const partials = static_cast<float*>(workspace);
  // The smear needs nothing of the sort and has the rest of the GPU.
  sort_tokens_aside(shape, tokens, order,
                    static_cast<std::byte*>(workspace) + smear_workspace_bytes(shape), stream);
  dispatch_row("embed_smear_norm", shape.tokens, shape.width, [&]<class RowType>() {
    launch_overlapped(smear_backward<RowType>, {dim3(static_cast<unsigned>(blocks)), row_threads},
                      stream, shape, backward_run(shape.tokens), tokens, table, w, lam, grad_x0,
                      grad_x, grad_e, partials, active_kernel_mutant());
  });
  deliver_partials(partials, blocks, sums_of_smear, DeliverSmear{grad_lam, grad_w}, stream);
}

}  // namespace pairedhead::gpu
