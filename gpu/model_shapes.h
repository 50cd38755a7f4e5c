#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "gpu/kernels/attention.h"
#include "gpu/kernels/embedding.h"
#include "gpu/kernels/gate.h"
#include "gpu/kernels/gates.h"
#include "gpu/kernels/mlp.h"
#include "gpu/kernels/qk_prepare.h"
#include "gpu/kernels/residual.h"
#include "reference/config.h"

// A configuration as each kernel wants to hear of it.

namespace pairedhead::gpu {

inline int narrow(Index value) { return static_cast<int>(value); }
inline std::size_t at(Index value) { return static_cast<std::size_t>(value); }

inline EmbeddingShape embedding_shape(const reference::Config& config, int tokens) {
  return {tokens, narrow(config.width), narrow(config.vocabulary)};
}
inline StreamShape stream_shape(const reference::Config& config, int tokens) {
  return {tokens, narrow(config.width)};
}
inline GateShape gate_shape(const reference::Config& config, int tokens) {
  return {tokens, narrow(config.heads), narrow(config.head_dim), narrow(config.width)};
}
inline MlpShape mlp_shape(const reference::Config& config, int tokens) {
  return {tokens, config.width, config.hidden};
}

inline QkPrepareProblem qk_problem(const reference::Config& config,
                                   const reference::LayerConfig& layer, int tokens) {
  return {.tokens = tokens,
          .heads = narrow(config.heads),
          .head_dim = narrow(config.head_dim),
          .normalise = true,
          .paired = layer.paired,
          .shift_keys = layer.shift_keys,
          .stride_token_in = static_cast<long>(3 * config.width)};
}

// Rows of a bank of gates, [rows, H, 12].
inline std::int64_t gate_offset(const reference::Config& config, const std::optional<Index>& row) {
  return row.value_or(0) * config.heads * gate_channels;
}

inline bool reads_table(const reference::Config& config, std::size_t table) {
  return std::any_of(config.layers.begin(), config.layers.end(),
                     [&](const reference::LayerConfig& layer) {
                       return layer.value_embedding && at(*layer.value_embedding) == table;
                     });
}

inline AttentionProblem attention_shape(const reference::Config& config,
                                        const reference::LayerConfig& layer, int tokens) {
  return {.tokens = tokens,
          .rows_per_token = layer.paired ? 2 : 1,
          .slots = narrow(layer.paired ? config.heads / 2 : config.heads),
          .head_dim = narrow(config.head_dim),
          .window = 1,
          .softmax_scale = 1,
          .cu_seqlens = nullptr,
          .entries = 2};
}

// Heads of which token t begins at data + t * stride_token.
inline HeadView head_view(const reference::Config& config, const reference::LayerConfig& layer,
                          __nv_bfloat16* data, std::int64_t stride_token) {
  const Index dim = config.head_dim;
  if (!layer.paired) return {data, stride_token, 0, dim};
  const bool strided = config.pairing == Pairing::strided;
  return {data, stride_token, strided ? config.heads / 2 * dim : dim, strided ? dim : 2 * dim};
}

}  // namespace pairedhead::gpu
