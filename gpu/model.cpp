#include "gpu/model.h"

#include <stdexcept>
#include <string>

#include "gpu/kernels/rotary_table.h"
#include "gpu/model_shapes.h"

namespace pairedhead::gpu {

using reference::Config;
using reference::LayerConfig;

Model::Model(const Config& config, const ParameterLayout& layout, const ModelExtent& extent,
             const DeviceMemory& memory)
    : config_(config), layout_(layout), extent_(extent) {
  if (extent_.purpose == Purpose::training) extent_.head_tokens = extent_.tokens;
  bytes(config, extent);
  Arena arena(memory);
  buffers_ = cut_model_buffers(config, extent_, arena);
}

std::size_t Model::bytes(const Config& config, const ModelExtent& extent) {
  check_config(config);
  if (config.head_dim % 8 != 0 || config.head_dim > 128) {
    throw std::invalid_argument(
        "model: expected a head_dim that is a multiple of 8 up to 128, got " +
        std::to_string(config.head_dim));
  }
  Arena counted;
  cut_model_buffers(config, extent, counted);
  return counted.used();
}

const ParameterPlace& Model::table(const ModelSettings& settings) const {
  return layout_.at(settings.split_embedding ? "embed" : "lm_head");
}

__nv_bfloat16* Model::stream_before(std::size_t layer) const {
  return layer == 0 ? buffers_.x0 : buffers_.layers[layer - 1].out;
}

AttentionProblem Model::attention_problem(std::size_t layer, const ModelBatch& batch,
                                          const ModelSettings& settings) const {
  const LayerConfig& l = config_.layers[layer];
  AttentionProblem problem = attention_shape(config_, l, batch.tokens);
  problem.window = l.long_window ? settings.long_window : settings.short_window;
  problem.softmax_scale = settings.softmax_scale;
  problem.cu_seqlens = batch.cu_seqlens;
  problem.entries = batch.entries;
  return problem;
}

void Model::make_rotary_tables(const float* frequency, int tokens, cudaStream_t stream) {
  for (const int paired : {0, 1}) {
    rotary_table(frequency, tokens, narrow(config_.head_dim), paired == 1, buffers_.cosine[paired],
                 buffers_.sine[paired], stream);
  }
}

void Model::prepare_weights(const ParameterBuffers& parameters, HeadForm head,
                            cudaStream_t stream) {
  const reference::ScalarLayout scalar{config_.depth()};
  const float* scalars = parameters.vector(layout_.at("scalars"));
  const Index square = config_.width * config_.width;
  for (std::size_t i = 0; i < config_.layers.size(); ++i) {
    if (!config_.layers[i].attention) continue;
    const Index layer = static_cast<Index>(i);
    const __nv_bfloat16* bank = parameters.matrix(layout_.at(reference::qkvo_name(layer)));
    scale_weight(bank, scalars + scalar.attention_in(layer), 3 * square, buffers_.scaled[i],
                 stream);
    scale_weight(bank + 3 * square, scalars + scalar.attention_out(layer), square,
                 buffers_.scaled[i] + 3 * square, stream);
  }
  mark("scaled weights", stream);
  if (head == HeadForm::bf16) return;
  quantise_both_ways(parameters.matrix(layout_.at("lm_head")), config_.vocabulary, config_.width,
                     fp8_scales().weight, buffers_.head_codes, buffers_.head_codes_transposed,
                     stream);
  mark("fp8 casts", stream);
}

void Model::forward(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                    const ModelBatch& batch, const ModelSettings& settings, const ModelLoss& loss,
                    cudaStream_t stream) {
  if (batch.tokens < 1 || batch.tokens > extent_.tokens) {
    throw std::invalid_argument("model: expected 1 to " + std::to_string(extent_.tokens) +
                                " tokens, got " + std::to_string(batch.tokens));
  }
  const reference::ScalarLayout scalar{config_.depth()};
  const float* scalars = parameters.vector(layout_.at("scalars"));
  const float* lambdas = parameters.vector(layout_.at("x0_lambdas"));
  const EmbeddingShape embedding = embedding_shape(config_, batch.tokens);
  const StreamShape shape = stream_shape(config_, batch.tokens);
  ModelBuffers& b = buffers_;

  embed_smear_norm_forward(embedding, batch.inputs, parameters.matrix(table(settings)),
                           parameters.matrix(layout_.at("smear_gate")), scalars + scalar.smear(),
                           b.x0, stream);
  for (std::size_t n = 0; n < b.value_embedding.size(); ++n) {
    if (b.value_embedding[n] == nullptr) continue;
    const ParameterPlace& place = layout_.at(reference::value_embed_name(static_cast<Index>(n)));
    gather_rows(embedding, batch.inputs, parameters.matrix(place), b.value_embedding[n], stream);
  }
  mark("embedding", stream);
  for (std::size_t i = 0; i < config_.layers.size(); ++i) {
    const Index layer = static_cast<Index>(i);
    LayerBuffers& l = b.layers[i];
    SkipInputs skip;
    if (layer == config_.skip_to) {
      skip = SkipInputs{b.layers[at(config_.skip_from)].out,
                        parameters.matrix(layout_.at("skip_gate")), scalars + scalar.skip()};
    }
    mix_norm_forward(
        shape, {stream_before(i), b.x0, skip, scalars + scalar.residual(layer), lambdas + layer},
        l.mixed, l.a, stream);
    mark("norms and mixes", stream);
    const bool attention = config_.layers[i].attention;
    if (attention) forward_attention(i, algebra, parameters, batch, settings, stream);
    mlp_forward(algebra, mlp_shape(config_, batch.tokens), attention ? l.mlp_input : l.a,
                parameters.matrix(layout_.at(reference::c_fc_name(layer))),
                parameters.matrix(layout_.at(reference::c_proj_name(layer))),
                attention ? l.attended : l.mixed, l.out, l.positive, b.squared, stream);
    mark("MLP", stream);
  }
  backout_norm_forward(shape, b.layers.back().out, b.layers[at(config_.backout_from)].out,
                       scalars + scalar.backout(), b.head_input, stream);
  mark("norms and mixes", stream);
  forward_head(algebra, parameters, batch, settings, loss, stream);
}

void Model::forward_attention(std::size_t i, LinearAlgebra& algebra,
                              const ParameterBuffers& parameters, const ModelBatch& batch,
                              const ModelSettings& settings, cudaStream_t stream) {
  const LayerConfig& layer = config_.layers[i];
  const Index width = config_.width;
  const GateShape gates = gate_shape(config_, batch.tokens);
  const int paired = layer.paired ? 1 : 0;
  LayerBuffers& l = buffers_.layers[i];
  const __nv_bfloat16* scaled = buffers_.scaled[i];

  linear_forward(algebra, batch.tokens, width, 3 * width, l.a, scaled, nullptr, l.u, stream);
  mark("QKV products", stream);
  qk_prepare_forward(qk_problem(config_, layer, batch.tokens), l.u, l.u + width,
                     buffers_.cosine[paired], buffers_.sine[paired], l.query, l.key, stream);
  mark("rotary", stream);
  HeadView value = head_view(config_, layer, l.u + 2 * width, 3 * width);
  if (layer.value_embedding) {
    value_mix_forward(
        gates, l.u + 2 * width, 3 * width, buffers_.value_embedding[at(*layer.value_embedding)],
        l.a, parameters.matrix(layout_.at("ve_gate_bank")) + gate_offset(config_, layer.value_gate),
        l.value, stream);
    mark("gates", stream);
    value = head_view(config_, layer, l.value, width);
  }
  attention_forward(attention_problem(i, batch, settings),
                    head_view(config_, layer, l.query, width),
                    head_view(config_, layer, l.key, width), value,
                    head_view(config_, layer, l.y, width), l.logsumexp, buffers_.workspace, stream);
  mark("attention", stream);
  output_gate_forward(
      gates, l.y, l.a,
      parameters.matrix(layout_.at("attn_gate_bank")) + gate_offset(config_, layer.attention_gate),
      l.gated, stream);
  mark("gates", stream);
  linear_forward(algebra, batch.tokens, width, width, l.gated, scaled + 3 * width * width, l.mixed,
                 l.attended, stream);
  mark("O products", stream);
  rms_norm_forward(stream_shape(config_, batch.tokens), l.attended, l.mlp_input, stream);
  mark("norms and mixes", stream);
}

void Model::forward_head(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                         const ModelBatch& batch, const ModelSettings& settings,
                         const ModelLoss& loss, cudaStream_t stream) {
  ModelBuffers& b = buffers_;
  const __nv_bfloat16* lm_head = parameters.matrix(layout_.at("lm_head"));
  for (int first = 0; first < batch.tokens; first += extent_.head_tokens) {
    const int tokens = std::min(extent_.head_tokens, batch.tokens - first);
    const int chunk = first / extent_.head_tokens;
    const __nv_bfloat16* input = b.head_input + first * config_.width;
    if (settings.head == HeadForm::fp8) {
      quantise_both_ways(input, tokens, config_.width, fp8_scales().activation, b.input_codes,
                         b.input_codes_transposed, stream);
      mark("fp8 casts", stream);
      head_fp8_forward(algebra, {tokens, config_.width, config_.vocabulary},
                       {b.input_codes, b.input_codes_transposed},
                       {b.head_codes, b.head_codes_transposed}, b.logits, stream);
    } else {
      linear_forward(algebra, tokens, config_.width, config_.vocabulary, input, lm_head, nullptr,
                     b.logits, stream);
    }
    mark("head products", stream);
    const auto piece = [](float* losses, int index) {
      return losses == nullptr ? nullptr : losses + index;
    };
    softcap_loss_forward({tokens, narrow(config_.vocabulary)}, b.logits, batch.targets + first,
                         settings.loss,
                         {.logsumexp = b.logsumexp + first,
                          .loss = piece(loss.loss, chunk),
                          .next_token_loss = piece(loss.next_token, chunk),
                          .token_losses = piece(loss.token_losses, first)},
                         b.workspace, stream);
    mark("loss", stream);
  }
}

}  // namespace pairedhead::gpu
