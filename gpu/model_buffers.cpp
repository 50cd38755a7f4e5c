#include "gpu/model_buffers.h"

#include <functional>

#include "gpu/kernels/softcap_loss.h"
#include "gpu/model_shapes.h"

namespace pairedhead::gpu {
namespace {

using reference::Config;
using reference::LayerConfig;

// Scratch that the kernels share: the most that one of them wants.
std::size_t workspace_bytes(const Config& config, const ModelExtent& extent) {
  const int tokens = extent.tokens;
  const int head_tokens = extent.purpose == Purpose::training ? tokens : extent.head_tokens;
  std::size_t bytes =
      std::max({embedding_workspace_bytes(embedding_shape(config, tokens)),
                residual_workspace_bytes(stream_shape(config, tokens)),
                gate_workspace_bytes(gate_shape(config, tokens)),
                softcap_loss_workspace_bytes({head_tokens, narrow(config.vocabulary)}),
                reduction_workspace_bytes()});
  for (const LayerConfig& layer : config.layers) {
    if (!layer.attention) continue;
    bytes = std::max(bytes, attention_workspace_bytes(attention_shape(config, layer, tokens)));
  }
  return bytes;
}

}  // namespace

ModelBuffers cut_model_buffers(const Config& config, const ModelExtent& extent, Arena& arena) {
  using bf16 = __nv_bfloat16;
  const bool training = extent.purpose == Purpose::training;
  const Index head_tokens = training ? extent.tokens : extent.head_tokens;
  const Index tokens = extent.tokens, width = config.width, hidden = config.hidden;
  const Index stream = tokens * width, codes = head_tokens * config.vocabulary;
  const std::size_t depth = config.layers.size();
  ModelBuffers b = {};

  // For inference the layers share one set of buffers, but for the streams that a later layer
  // reads.
  const auto cut_layer = [&](bool attention, bool value_embedding) {
    LayerBuffers l = {};
    l.mixed = arena.take<bf16>(stream);
    l.a = arena.take<bf16>(stream);
    l.positive = arena.take<bf16>(tokens * hidden);
    l.out = arena.take<bf16>(stream);
    if (!attention) return l;
    l.u = arena.take<bf16>(3 * stream);
    l.query = arena.take<bf16>(stream);
    l.key = arena.take<bf16>(stream);
    if (value_embedding) l.value = arena.take<bf16>(stream);
    l.y = arena.take<bf16>(stream);
    l.gated = arena.take<bf16>(stream);
    l.logsumexp = arena.take<float>(tokens * config.heads);
    l.attended = arena.take<bf16>(stream);
    l.mlp_input = arena.take<bf16>(stream);
    return l;
  };
  if (training) {
    for (const LayerConfig& layer : config.layers) {
      b.layers.push_back(cut_layer(layer.attention, layer.value_embedding.has_value()));
    }
  } else {
    b.layers.assign(depth, cut_layer(true, true));
    for (const Index i : {config.skip_from, config.backout_from}) {
      b.layers[at(i)].out = arena.take<bf16>(stream);
    }
  }
  for (const LayerConfig& layer : config.layers) {
    b.scaled.push_back(layer.attention ? arena.take<bf16>(4 * width * width) : nullptr);
  }
  for (std::size_t n = 0; n < at(config.value_embeddings); ++n) {
    const bool read = reads_table(config, n);
    b.value_embedding.push_back(read ? arena.take<bf16>(stream) : nullptr);
    b.grad_value_embedding.push_back(read && training ? arena.take<bf16>(stream) : nullptr);
  }
  b.x0 = arena.take<bf16>(stream);
  b.head_input = arena.take<bf16>(stream);
  b.squared = arena.take<bf16>(tokens * hidden);
  b.logits = arena.take<bf16>(codes);
  b.logsumexp = arena.take<float>(tokens);
  for (const int paired : {0, 1}) {
    b.cosine[paired] = arena.take<bf16>((paired + 1) * tokens * config.head_dim);
    b.sine[paired] = arena.take<bf16>((paired + 1) * tokens * config.head_dim);
  }
  b.order = arena.take<std::byte>(
      static_cast<std::int64_t>(token_order_bytes(embedding_shape(config, narrow(tokens)))));
  b.workspace = arena.take<std::byte>(static_cast<std::int64_t>(workspace_bytes(config, extent)));
  if (!training) return b;

  b.head_codes = arena.take<std::uint8_t>(config.vocabulary * width);
  b.head_codes_transposed = arena.take<std::uint8_t>(config.vocabulary * width);
  b.input_codes = arena.take<std::uint8_t>(stream);
  b.input_codes_transposed = arena.take<std::uint8_t>(stream);
  b.logit_codes = arena.take<std::uint8_t>(codes);
  b.logit_codes_transposed = arena.take<std::uint8_t>(codes);
  b.hidden_gradient = arena.take<bf16>(tokens * hidden);
  for (bf16*& buffer :
       {std::ref(b.grad_stream[0]), std::ref(b.grad_stream[1]), std::ref(b.grad_part),
        std::ref(b.grad_inner), std::ref(b.grad_x0), std::ref(b.grad_skip), std::ref(b.grad_back),
        std::ref(b.grad_query), std::ref(b.grad_key)}) {
    buffer = arena.take<bf16>(stream);
  }
  b.grad_u = arena.take<bf16>(3 * stream);
  b.grad_gates = arena.take<float>(tokens * gate_channels);
  return b;
}

}  // namespace pairedhead::gpu
