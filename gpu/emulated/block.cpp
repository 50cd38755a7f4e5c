#include "gpu/emulated/block.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "gpu/emulated/attention.h"
#include "gpu/emulated/bf16.h"
#include "gpu/emulated/elementwise.h"
#include "gpu/emulated/gates.h"
#include "gpu/emulated/linear.h"
#include "gpu/emulated/qk_prepare.h"
#include "gpu/emulated/residual.h"

namespace pairedhead::gpu::emulated {
namespace {

using Bits = std::vector<std::uint16_t>;

Bits sum(const Bits& a, const Bits& b) {
  Bits result(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) result[i] = to_bf16(from_bf16(a[i]) + from_bf16(b[i]));
  return result;
}

// The kernels of one layer over their common shapes.
class Layer {
 public:
  Layer(const BlockProblem& problem, const BlockStreams& streams, const BlockWeights& weights)
      : p(problem), s(streams), w(weights), width(p.heads * p.head_dim) {}

  Bits forward() {
    mixed = a = stream();
    mix_norm_forward(tokens(), entry(), mixed.data(), a.data());
    attended = mixed;
    mlp_input = a;
    if (has_attention()) {
      attended = sum(mixed, attention_half());
      rms_norm_forward(tokens(), attended.data(), mlp_input.data());
    }
    Bits added = stream();
    mlp_forward(mlp(), mlp_input.data(), w.c_fc, w.c_proj, added.data());
    return sum(attended, added);
  }

  void backward(const Bits& grad_out, const BlockGradients& grad) {
    Bits grad_mixed = grad_out, grad_a = stream();
    mlp_backward(mlp(), mlp_input.data(), w.c_fc, w.c_proj, grad_out.data(), grad_a.data(),
                 grad.c_fc, grad.c_proj);
    if (has_attention()) {
      rms_norm_backward(tokens(), attended.data(), grad_a.data(), grad_out.data(),
                        grad_mixed.data());
      grad_a = attention_half_backward(grad_mixed, grad);
    }
    mix_norm_backward(tokens(), entry(), {.mixed = grad_mixed.data(), .a = grad_a.data()},
                      {.x = grad.x,
                       .x0 = grad.x0,
                       .rho = grad.rho,
                       .lam = grad.lam,
                       .x_skip = grad.x_skip,
                       .w = grad.skip_gate,
                       .theta = grad.theta});
  }

 private:
  MixNormRows entry() const {
    return {.x = s.x,
            .x0 = s.x0,
            .rho = w.rho,
            .lam = w.lam,
            .x_skip = s.x_skip,
            .w = w.skip_gate,
            .theta = w.theta};
  }
  bool has_attention() const { return w.qkvo != nullptr; }
  bool mixes_values() const { return s.value_embedding != nullptr; }
  TokenShape tokens() const { return {p.tokens, width}; }
  HeadShape heads() const { return {p.tokens, p.heads, p.head_dim}; }
  MatrixShape mlp() const { return {p.tokens, width, p.hidden}; }
  MatrixShape qkv() const { return {p.tokens, width, 3 * width}; }
  MatrixShape output() const { return {p.tokens, width, width}; }
  const std::uint16_t* output_weights() const { return w.qkvo + std::ptrdiff_t{3} * width * width; }
  Bits stream() const {
    return Bits(static_cast<std::size_t>(p.tokens) * static_cast<std::size_t>(width));
  }
  QkPrepareProblem prepare() const {
    return {.tokens = p.tokens,
            .heads = p.heads,
            .head_dim = p.head_dim,
            .normalise = true,
            .paired = p.pairing != HeadPairing::none,
            .shift_keys = p.shift_keys};
  }
  AttentionProblem attention() const {
    const bool paired = p.pairing != HeadPairing::none;
    return {.tokens = p.tokens,
            .rows_per_token = paired ? 2 : 1,
            .slots = paired ? p.heads / 2 : p.heads,
            .head_dim = p.head_dim,
            .window = p.window,
            .softmax_scale = p.softmax_scale,
            .cu_seqlens = p.cu_seqlens,
            .entries = p.entries,
            .order_seed = p.order_seed};
  }
  // Heads next to each other, or half of them apart, make a pair's two rows.
  HeadView view(Bits& bits) const {
    const bool adjacent = p.pairing == HeadPairing::adjacent;
    return {.data = bits.data(),
            .stride_token = width,
            .stride_row = adjacent ? p.head_dim : std::int64_t{p.heads / 2} * p.head_dim,
            .stride_slot = (adjacent ? 2 : 1) * p.head_dim};
  }

  // A third of u = [q, k, v] a token.
  Bits third(const Bits& u, int part) const {
    Bits x = stream();
    for (int t = 0; t < p.tokens; ++t) {
      std::copy_n(u.begin() + (std::ptrdiff_t{3} * t + part) * width, width,
                  x.begin() + std::ptrdiff_t{t} * width);
    }
    return x;
  }
  void put_third(const Bits& x, int part, Bits& u) const {
    for (int t = 0; t < p.tokens; ++t) {
      std::copy_n(x.begin() + std::ptrdiff_t{t} * width, width,
                  u.begin() + (std::ptrdiff_t{3} * t + part) * width);
    }
  }

  Bits attention_half() {
    Bits u(3 * a.size());
    lambda_linear_forward(qkv(), a.data(), w.qkvo, w.alpha, u.data());
    raw_query = third(u, 0);
    raw_key = third(u, 1);
    value = third(u, 2);
    query = key = y = gated = stream();
    qk_prepare_forward(prepare(), raw_query.data(), raw_key.data(), p.cosine, p.sine, query.data(),
                       key.data());
    if (mixes_values()) {
      const Bits raw_value = value;
      value_mix_forward(heads(), raw_value.data(), s.value_embedding, a.data(), w.value_gate,
                        value.data());
    }
    logsumexp.assign(static_cast<std::size_t>(p.tokens) * static_cast<std::size_t>(p.heads), 0);
    attention_forward(attention(), view(query), view(key), view(value), view(y), logsumexp.data());
    output_gate_forward(heads(), y.data(), a.data(), w.gate, gated.data());
    Bits out = stream();
    lambda_linear_forward(output(), gated.data(), output_weights(), w.omega, out.data());
    return out;
  }

  Bits attention_half_backward(const Bits& grad_out, const BlockGradients& grad) {
    Bits grad_gated = stream(), grad_y = stream(), of_output_gate = stream();
    lambda_linear_backward(output(), gated.data(), output_weights(), w.omega, grad_out.data(),
                           grad_gated.data(), grad.qkvo + std::ptrdiff_t{3} * width * width,
                           grad.omega);
    output_gate_backward(heads(), y.data(), a.data(), w.gate, grad_gated.data(), grad_y.data(),
                         of_output_gate.data(), grad.gate);
    Bits grad_query = stream(), grad_key = stream(), grad_value = stream();
    attention_backward(attention(), view(query), view(key), view(value), view(y), logsumexp.data(),
                       view(grad_y), view(grad_query), view(grad_key), view(grad_value));
    Bits grad_raw_query = stream(), grad_raw_key = stream(), grad_raw_value = grad_value,
         of_value_gate = stream();
    qk_prepare_backward(prepare(), raw_query.data(), raw_key.data(), p.cosine, p.sine,
                        grad_query.data(), grad_key.data(), grad_raw_query.data(),
                        grad_raw_key.data());
    if (mixes_values()) {
      value_mix_backward(heads(), s.value_embedding, a.data(), w.value_gate, grad_value.data(),
                         grad_raw_value.data(), grad.value_embedding, of_value_gate.data(),
                         grad.value_gate);
    }
    Bits grad_u(3 * a.size()), grad_a = stream();
    put_third(grad_raw_query, 0, grad_u);
    put_third(grad_raw_key, 1, grad_u);
    put_third(grad_raw_value, 2, grad_u);
    lambda_linear_backward(qkv(), a.data(), w.qkvo, w.alpha, grad_u.data(), grad_a.data(),
                           grad.qkvo, grad.alpha);
    for (std::size_t i = 0; i < grad_a.size(); ++i) {
      grad_a[i] = to_bf16(from_bf16(grad_a[i]) + from_bf16(of_output_gate[i]) +
                          from_bf16(of_value_gate[i]));
    }
    return grad_a;
  }

  const BlockProblem& p;
  const BlockStreams& s;
  const BlockWeights& w;
  int width;
  Bits mixed, a, attended, mlp_input;
  Bits raw_query, raw_key, query, key, value, y, gated;
  std::vector<float> logsumexp;  // by flat row and slot
};

}  // namespace

void block_forward(const BlockProblem& problem, const BlockStreams& streams,
                   const BlockWeights& weights, std::uint16_t* out) {
  const Bits result = Layer(problem, streams, weights).forward();
  std::copy(result.begin(), result.end(), out);
}

void block_backward(const BlockProblem& problem, const BlockStreams& streams,
                    const BlockWeights& weights, const std::uint16_t* grad_out,
                    const BlockGradients& gradients) {
  Layer layer(problem, streams, weights);
  const Bits out = layer.forward();
  layer.backward(Bits(grad_out, grad_out + out.size()), gradients);
}

}  // namespace pairedhead::gpu::emulated
