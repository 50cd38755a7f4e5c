#include "gpu/emulated/model.h"

#include <algorithm>
#include <cstddef>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/embedding.h"
#include "gpu/emulated/head.h"
#include "gpu/emulated/linear.h"
#include "gpu/emulated/qk_prepare.h"
#include "gpu/emulated/residual.h"
#include "gpu/kernels/gate.h"

namespace pairedhead::gpu::emulated {
namespace {

using Bits = std::vector<std::uint16_t>;

void add(const Bits& part, std::uint16_t* sum) {
  for (std::size_t i = 0; i < part.size(); ++i) {
    sum[i] = to_bf16(from_bf16(sum[i]) + from_bf16(part[i]));
  }
}

// The first contribution to a gradient is its start.
void gather(const Bits& part, Bits& sum) {
  if (sum.empty()) {
    sum = part;
  } else {
    add(part, sum.data());
  }
}

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// The kernels of one pass and what lies between them.
class Pass {
 public:
  Pass(const ModelProblem& problem, const ModelWeights& weights)
      : p(problem),
        w(weights),
        width(p.heads * p.head_dim),
        depth(static_cast<int>(p.layers.size())) {
    int attention = 0, value_gate = 0;
    for (const ModelLayer& layer : p.layers) {
      attention_row.push_back(attention);
      value_row.push_back(value_gate);
      attention += layer.attention;
      value_gate += layer.value_embedding >= 0;
    }
    attention_layers = attention;
    value_layers = value_gate;
    for (const bool paired : {false, true}) {
      const auto size = at(p.tokens * p.head_dim * (paired ? 2 : 1));
      cosine[paired].resize(size);
      sine[paired].resize(size);
      rotary_table(p.frequency, p.tokens, p.head_dim, paired, cosine[paired].data(),
                   sine[paired].data());
    }
  }

  void forward(const ModelOutputs& outputs) {
    x0 = head_input = stream();
    embed_smear_norm_forward(tokens(), p.inputs, table(), w.smear_gate, w.scalars[3 * depth],
                             x0.data());
    for (int n = 0; n < p.value_embeddings; ++n) {
      value_embedding.push_back(stream());
      embedding_forward(tokens(), p.inputs, w.value_embed + n * table_size(),
                        value_embedding.back().data());
    }
    entering = {x0};
    for (int i = 0; i < depth; ++i) {
      Bits out = stream();
      block_forward(block_problem(i), block_streams(i), block_weights(i), out.data());
      entering.push_back(std::move(out));
    }
    backout_norm_forward(tokens(), entering.back().data(), backout_stream(),
                         w.scalars[3 * depth + 1], head_input.data());
    if (fp8()) {
      head_fp8_forward(fp8_shape(), head_input.data(), w.lm_head, outputs.logits);
    } else {
      linear_forward(head_shape(), head_input.data(), w.lm_head, outputs.logits);
    }
    std::copy(head_input.begin(), head_input.end(), outputs.head_input);
    logsumexp.resize(at(p.tokens));
    softcap_loss_forward(loss_problem(), outputs.logits, logsumexp.data(), outputs.loss);
  }

  // What the loss gives to the logits z.
  void loss_backward(const std::uint16_t* z, float grad_loss, std::uint16_t* grad_z) const {
    softcap_loss_backward(loss_problem(), z, logsumexp.data(), grad_loss, grad_z);
  }

  // From the gradient of z, in outputs, on.
  void backward(const ModelOutputs& outputs, const ModelGradients& grad) {
    clear(grad);
    const Bits grad_input = head_backward(outputs.grad_logits, grad);
    std::copy(grad_input.begin(), grad_input.end(), outputs.grad_head_input);
    std::copy_n(grad.lm_head, table_size(), outputs.grad_head_weight);
    Bits grad_x = stream(), grad_back = stream();
    backout_norm_backward(tokens(), entering.back().data(), backout_stream(),
                          w.scalars[3 * depth + 1], grad_input.data(), grad_x.data(),
                          grad_back.data(), grad.scalars + 3 * depth + 1);

    Bits grad_x0, grad_skip;
    std::vector<Bits> grad_value(value_embedding.size());
    for (int i = depth - 1; i >= 0; --i) {
      if (i == p.backout_from) add(grad_back, grad_x.data());
      if (i == p.skip_from) add(grad_skip, grad_x.data());
      const Bits grad_out = grad_x;
      Bits of_x0 = stream(), of_skip = stream(), of_value = stream();
      block_backward(block_problem(i), block_streams(i), block_weights(i), grad_out.data(),
                     block_gradients(i, grad, grad_x, of_x0, of_skip, of_value));
      gather(of_x0, grad_x0);
      if (i == p.skip_to) grad_skip = of_skip;
      const int n = p.layers[at(i)].value_embedding;
      if (n >= 0) gather(of_value, grad_value[at(n)]);
    }
    embedding_gradients(grad_x0, grad_x, grad);
    for (std::size_t n = 0; n < grad_value.size(); ++n) {
      if (grad_value[n].empty()) continue;
      embedding_backward(tokens(), p.inputs, grad_value[n].data(), nullptr, p.vocabulary,
                         grad.value_embed + static_cast<int>(n) * table_size());
    }
  }

 private:
  TokenShape tokens() const { return {p.tokens, width}; }
  Bits stream() const { return Bits(at(p.tokens * width)); }
  int table_size() const { return p.vocabulary * width; }
  int gate_size() const { return p.heads * gate_channels; }
  bool fp8() const { return p.fp8_head && !p.validation; }
  MatrixShape head_shape() const { return {p.tokens, width, p.vocabulary}; }
  Fp8HeadShape fp8_shape() const { return {p.tokens, width, p.vocabulary}; }
  const std::uint16_t* table() const { return p.split_embedding ? w.embed : w.lm_head; }
  const std::uint16_t* backout_stream() const { return entering[at(p.backout_from + 1)].data(); }
  LossProblem loss_problem() const {
    return {.shape = {p.tokens, p.vocabulary},
            .targets = p.targets,
            .weights = p.mtp_weights,
            .horizons = p.horizons,
            .validation = p.validation};
  }

  BlockProblem block_problem(int i) const {
    const ModelLayer& layer = p.layers[at(i)];
    const bool paired = layer.pairing != HeadPairing::none;
    return {.tokens = p.tokens,
            .heads = p.heads,
            .head_dim = p.head_dim,
            .hidden = p.hidden,
            .pairing = layer.pairing,
            .shift_keys = layer.shift_keys,
            .window = layer.long_window ? p.long_window : p.short_window,
            .softmax_scale = p.softmax_scale,
            .cu_seqlens = p.cu_seqlens,
            .entries = p.entries,
            .cosine = cosine[paired].data(),
            .sine = sine[paired].data(),
            .order_seed = p.order_seed + static_cast<std::uint64_t>(i)};
  }

  BlockStreams block_streams(int i) const {
    const int n = p.layers[at(i)].value_embedding;
    return {.x = entering[at(i)].data(),
            .x0 = x0.data(),
            .x_skip = i == p.skip_to ? entering[at(p.skip_from + 1)].data() : nullptr,
            .value_embedding = n >= 0 ? value_embedding[at(n)].data() : nullptr};
  }

  // Layer i's part of each family, of parameters or of gradients.
  template <class Tensors>
  auto qkvo_of(const Tensors& t, int i) const {
    return p.layers[at(i)].attention ? t.qkvo + attention_row[at(i)] * 4 * width * width : nullptr;
  }
  template <class Tensors>
  auto gate_of(const Tensors& t, int i) const {
    return t.attn_gate_bank + attention_row[at(i)] * gate_size();
  }
  template <class Tensors>
  auto value_gate_of(const Tensors& t, int i) const {
    return t.ve_gate_bank + value_row[at(i)] * gate_size();
  }
  int hidden_offset(int i) const { return i * p.hidden * width; }

  BlockWeights block_weights(int i) const {
    return {.qkvo = qkvo_of(w, i),
            .c_fc = w.c_fc + hidden_offset(i),
            .c_proj = w.c_proj + hidden_offset(i),
            .gate = gate_of(w, i),
            .value_gate = value_gate_of(w, i),
            .skip_gate = w.skip_gate,
            .rho = w.scalars[i],
            .lam = w.x0_lambdas[i],
            .alpha = w.scalars[depth + 2 * i],
            .omega = w.scalars[depth + 2 * i + 1],
            .theta = w.scalars[3 * depth + 2]};
  }

  BlockGradients block_gradients(int i, const ModelGradients& grad, Bits& of_x, Bits& of_x0,
                                 Bits& of_skip, Bits& of_value) const {
    return {.x = of_x.data(),
            .x0 = of_x0.data(),
            .x_skip = of_skip.data(),
            .value_embedding = of_value.data(),
            .qkvo = qkvo_of(grad, i),
            .c_fc = grad.c_fc + hidden_offset(i),
            .c_proj = grad.c_proj + hidden_offset(i),
            .gate = gate_of(grad, i),
            .value_gate = value_gate_of(grad, i),
            .skip_gate = grad.skip_gate,
            .rho = grad.scalars + i,
            .lam = grad.x0_lambdas + i,
            .alpha = grad.scalars + depth + 2 * i,
            .omega = grad.scalars + depth + 2 * i + 1,
            .theta = grad.scalars + 3 * depth + 2};
  }

  void clear(const ModelGradients& grad) const {
    std::fill_n(grad.qkvo, attention_layers * 4 * width * width, std::uint16_t{0});
    std::fill_n(grad.c_fc, hidden_offset(depth), std::uint16_t{0});
    std::fill_n(grad.c_proj, hidden_offset(depth), std::uint16_t{0});
    std::fill_n(grad.embed, table_size(), std::uint16_t{0});
    std::fill_n(grad.value_embed, p.value_embeddings * table_size(), std::uint16_t{0});
    std::fill_n(grad.skip_gate, gate_channels, std::uint16_t{0});
    std::fill_n(grad.attn_gate_bank, attention_layers * gate_size(), std::uint16_t{0});
    std::fill_n(grad.ve_gate_bank, value_layers * gate_size(), std::uint16_t{0});
    std::fill_n(grad.x0_lambdas, depth, 0.0f);
    std::fill_n(grad.scalars, 3 * depth + 3, 0.0f);
  }

  // To what the final norm gives.
  Bits head_backward(const std::uint16_t* grad_z, const ModelGradients& grad) const {
    Bits grad_input = stream();
    if (fp8()) {
      head_fp8_backward(fp8_shape(), head_input.data(), w.lm_head, grad_z, grad_input.data(),
                        grad.lm_head);
    } else {
      linear_backward(head_shape(), head_input.data(), w.lm_head, grad_z, grad_input.data(),
                      grad.lm_head);
    }
    return grad_input;
  }

  // x0 is also what enters the first layer. A tied table already holds the head's gradient.
  void embedding_gradients(const Bits& grad_x0, const Bits& grad_x,
                           const ModelGradients& grad) const {
    Bits grad_embedded = stream();
    embed_smear_norm_backward(tokens(), p.inputs, table(), w.smear_gate, w.scalars[3 * depth],
                              grad_x0.data(), grad_x.data(), grad_embedded.data(), grad.smear_gate,
                              grad.scalars + 3 * depth);
    const Bits of_head(grad.lm_head, grad.lm_head + table_size());
    embedding_backward(tokens(), p.inputs, grad_embedded.data(),
                       p.split_embedding ? nullptr : of_head.data(), p.vocabulary,
                       p.split_embedding ? grad.embed : grad.lm_head);
  }

  const ModelProblem& p;
  const ModelWeights& w;
  int width, depth;
  std::vector<int> attention_row, value_row;  // of each layer in its bank
  int attention_layers, value_layers;
  Bits cosine[2], sine[2];  // plain, paired
  Bits x0, head_input;
  std::vector<Bits> value_embedding;
  std::vector<Bits> entering;  // each layer, and what leaves the last
  std::vector<float> logsumexp;
};

}  // namespace

void model(const ModelProblem& problem, const ModelWeights& weights, float grad_loss,
           const ModelOutputs& outputs, const ModelGradients& gradients) {
  Pass pass(problem, weights);
  pass.forward(outputs);
  pass.loss_backward(outputs.logits, grad_loss, outputs.grad_logits);
  pass.backward(outputs, gradients);
}

}  // namespace pairedhead::gpu::emulated
