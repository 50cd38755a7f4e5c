#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// One layer (SPEC §3.3.1-4, §3.6, §3.7) as a chain of kernels: every tensor between two of them is
// stored as bf16. Streams are [tokens, heads * head_dim] of bf16 bits.

enum class HeadPairing { none, strided, adjacent };

struct BlockProblem {
  int tokens, heads, head_dim, hidden;
  HeadPairing pairing;
  bool shift_keys;
  int window;  // tokens; flat rows where heads are paired
  float softmax_scale;
  const std::int32_t* cu_seqlens;
  int entries;
  const std::uint16_t* cosine;  // as rotary_table makes them
  const std::uint16_t* sine;
  std::uint64_t order_seed;
};

// x_skip is nullptr where nothing joins the layer, value_embedding where its values take none.
struct BlockStreams {
  const std::uint16_t *x, *x0, *x_skip, *value_embedding;
};

// Shapes of SPEC §2; lambdas one fp32 each. qkvo is nullptr in a layer without attention. What
// belongs to an absent part is not read.
struct BlockWeights {
  const std::uint16_t *qkvo, *c_fc, *c_proj, *gate, *value_gate, *skip_gate;
  float rho, lam, alpha, omega, theta;
};

// Where the gradients of streams and weights go; those of an absent part are not written.
struct BlockGradients {
  std::uint16_t *x, *x0, *x_skip, *value_embedding;
  std::uint16_t *qkvo, *c_fc, *c_proj, *gate, *value_gate, *skip_gate;
  float *rho, *lam, *alpha, *omega, *theta;
};

void block_forward(const BlockProblem& problem, const BlockStreams& streams,
                   const BlockWeights& weights, std::uint16_t* out);
// Runs the forward pass again for what it needs of it.
void block_backward(const BlockProblem& problem, const BlockStreams& streams,
                    const BlockWeights& weights, const std::uint16_t* grad_out,
                    const BlockGradients& gradients);

}  // namespace pairedhead::gpu::emulated
