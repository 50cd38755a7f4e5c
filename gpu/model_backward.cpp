#include <stdexcept>
#include <utility>
#include <vector>

#include "gpu/kernels/add_streams.h"
#include "gpu/model.h"
#include "gpu/model_shapes.h"

namespace pairedhead::gpu {

using reference::Config;
using reference::LayerConfig;

void Model::backward(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                     const ModelBatch& batch, const ModelSettings& settings, const float* grad_loss,
                     const ParameterBuffers& gradients, cudaStream_t stream) {
  if (extent_.purpose != Purpose::training) {
    throw std::logic_error("model: expected one for training to run backward, got inference");
  }
  const reference::ScalarLayout scalar{config_.depth()};
  const float* scalars = parameters.vector(layout_.at("scalars"));
  const float* lambdas = parameters.vector(layout_.at("x0_lambdas"));
  float* grad_scalars = gradients.vector(layout_.at("scalars"));
  float* grad_lambdas = gradients.vector(layout_.at("x0_lambdas"));
  const StreamShape shape = stream_shape(config_, batch.tokens);
  const Index stream_count = batch.tokens * config_.width;
  const std::size_t depth = config_.layers.size();
  ModelBuffers& b = buffers_;

  // Lambdas of layers without attention, and the padding, have no gradient (SPEC §2.1).
  CUDA_CHECK(cudaMemsetAsync(
      gradients.fp32, 0, static_cast<std::size_t>(layout_.fp32_count()) * sizeof(float), stream));

  __nv_bfloat16 *grad = b.grad_stream[0], *next = b.grad_stream[1];
  backward_head(algebra, parameters, batch, settings, grad_loss, gradients, stream);
  backout_norm_backward(shape, b.layers.back().out, b.layers[at(config_.backout_from)].out,
                        scalars + scalar.backout(), b.grad_part, grad, b.grad_back,
                        grad_scalars + scalar.backout(), b.workspace, stream);

  // What later readers of a layer's output give to its gradient beside the next layer. One that is
  // there before the next layer's mix joins in its kernel, any other afterwards.
  const std::size_t backout_from = at(config_.backout_from), skip_from = at(config_.skip_from);
  if (backout_from + 1 == depth) add_streams(stream_count, grad, b.grad_back, grad, stream);
  mark("norms and mixes", stream);

  std::vector<bool> table_used(b.value_embedding.size(), false);
  for (std::size_t i = depth; i-- > 0;) {
    const Index layer = static_cast<Index>(i);
    const bool attention = config_.layers[i].attention;
    LayerBuffers& l = b.layers[i];
    mlp_backward(algebra, mlp_shape(config_, batch.tokens), attention ? l.mlp_input : l.a,
                 parameters.matrix(layout_.at(reference::c_fc_name(layer))),
                 parameters.matrix(layout_.at(reference::c_proj_name(layer))), grad, l.positive,
                 b.squared, b.hidden_gradient, b.grad_part,
                 gradients.matrix(layout_.at(reference::c_fc_name(layer))),
                 gradients.matrix(layout_.at(reference::c_proj_name(layer))), stream);
    mark("MLP", stream);
    if (attention) {
      rms_norm_backward(shape, l.attended, b.grad_part, grad, grad, stream);
      mark("norms and mixes", stream);
      const auto& table = config_.layers[i].value_embedding;
      const bool first_use = table && !table_used[at(*table)];
      if (table) table_used[at(*table)] = true;
      backward_attention(i, algebra, parameters, batch, settings, grad, first_use, gradients,
                         stream);
    }

    SkipInputs skip;
    SkipGradients grad_skip;
    if (layer == config_.skip_to) {
      skip = SkipInputs{b.layers[skip_from].out, parameters.matrix(layout_.at("skip_gate")),
                        scalars + scalar.skip()};
      grad_skip = SkipGradients{b.grad_skip, gradients.matrix(layout_.at("skip_gate")),
                                grad_scalars + scalar.skip()};
    }
    const bool joins_back = i == backout_from + 1;
    const bool joins_skip = i == skip_from + 1 && layer != config_.skip_to;
    const __nv_bfloat16* before = joins_back ? b.grad_back : joins_skip ? b.grad_skip : nullptr;
    mix_norm_backward(
        shape, {stream_before(i), b.x0, skip, scalars + scalar.residual(layer), lambdas + layer},
        {.mixed = grad,
         .a = b.grad_part,
         .a_gates = attention ? b.grad_gates : nullptr,
         .x_before = before,
         .x0_before = i + 1 == depth ? nullptr : b.grad_x0},
        {.x = next,
         .x0 = b.grad_x0,
         .rho = grad_scalars + scalar.residual(layer),
         .lam = grad_lambdas + layer,
         .skip = grad_skip},
        b.workspace, stream);
    if (i == skip_from + 1 && before != b.grad_skip) {
      add_streams(stream_count, next, b.grad_skip, next, stream);
    }
    mark("norms and mixes", stream);
    std::swap(grad, next);
  }

  const EmbeddingShape embedding = embedding_shape(config_, batch.tokens);
  embed_smear_norm_backward(embedding, batch.inputs, parameters.matrix(table(settings)),
                            parameters.matrix(layout_.at("smear_gate")), scalars + scalar.smear(),
                            b.grad_x0, grad, b.grad_part,
                            gradients.matrix(layout_.at("smear_gate")),
                            grad_scalars + scalar.smear(), b.order, b.workspace, stream);
  mark("embedding", stream);
  // A tied table already holds the head's gradient.
  std::vector<TableGradient> tables = {
      {b.grad_part, settings.split_embedding, gradients.matrix(table(settings))}};
  for (std::size_t n = 0; n < b.value_embedding.size(); ++n) {
    const ParameterPlace& place = layout_.at(reference::value_embed_name(static_cast<Index>(n)));
    if (table_used[n]) {
      tables.push_back({b.grad_value_embedding[n], true, gradients.matrix(place)});
    } else {
      CUDA_CHECK(cudaMemsetAsync(gradients.matrix(place), 0,
                                 static_cast<std::size_t>(place.count) * sizeof(__nv_bfloat16),
                                 stream));
    }
  }
  scatter_rows(embedding, b.order, tables, b.workspace, stream);
  mark("scatter", stream);
}

void Model::backward_head(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                          const ModelBatch& batch, const ModelSettings& settings,
                          const float* grad_loss, const ParameterBuffers& gradients,
                          cudaStream_t stream) {
  ModelBuffers& b = buffers_;
  const LossShape shape = {batch.tokens, narrow(config_.vocabulary)};
  if (settings.head == HeadForm::fp8) {
    softcap_loss_backward_fp8(shape, b.logits, b.logsumexp, batch.targets, settings.loss, grad_loss,
                              fp8_scales().gradient, b.logit_codes, b.logit_codes_transposed,
                              stream);
  } else {
    softcap_loss_backward(shape, b.logits, b.logsumexp, batch.targets, settings.loss, grad_loss,
                          b.logits, stream);
  }
  mark("loss", stream);
  backward_head_products(algebra, parameters, batch, settings, b.grad_part,
                         gradients.matrix(layout_.at("lm_head")), stream);
  mark("head products", stream);
}

void Model::backward_head_products(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                                   const ModelBatch& batch, const ModelSettings& settings,
                                   __nv_bfloat16* grad_input, __nv_bfloat16* grad_weight,
                                   cudaStream_t stream) {
  ModelBuffers& b = buffers_;
  if (settings.head == HeadForm::fp8) {
    head_fp8_backward(algebra, {batch.tokens, config_.width, config_.vocabulary},
                      {b.input_codes, b.input_codes_transposed},
                      {b.head_codes, b.head_codes_transposed},
                      {b.logit_codes, b.logit_codes_transposed}, grad_input, grad_weight, stream);
  } else {
    linear_backward(algebra, batch.tokens, config_.width, config_.vocabulary, b.head_input,
                    parameters.matrix(layout_.at("lm_head")), b.logits, grad_input, grad_weight,
                    stream);
  }
}

void Model::backward_attention(std::size_t i, LinearAlgebra& algebra,
                               const ParameterBuffers& parameters, const ModelBatch& batch,
                               const ModelSettings& settings, const __nv_bfloat16* grad_attended,
                               bool first_use_of_table, const ParameterBuffers& gradients,
                               cudaStream_t stream) {
  const LayerConfig& layer = config_.layers[i];
  const Index width = config_.width, square = width * width;
  const GateShape gates = gate_shape(config_, batch.tokens);
  const reference::ScalarLayout scalar{config_.depth()};
  const Index number = static_cast<Index>(i);
  const ParameterPlace& place = layout_.at(reference::qkvo_name(number));
  const __nv_bfloat16* bank = parameters.matrix(place);
  const __nv_bfloat16* scaled = buffers_.scaled[i];
  __nv_bfloat16* grad_bank = gradients.matrix(place);
  const float* scalars = parameters.vector(layout_.at("scalars"));
  float* grad_scalars = gradients.vector(layout_.at("scalars"));
  LayerBuffers& l = buffers_.layers[i];
  ModelBuffers& b = buffers_;

  linear_backward(algebra, batch.tokens, width, width, l.gated, scaled + 3 * square, grad_attended,
                  b.grad_inner, grad_bank + 3 * square, stream);
  mark("O products", stream);
  const std::int64_t gate = gate_offset(config_, layer.attention_gate);
  output_gate_backward(gates, b.grad_inner, l.y, l.a,
                       parameters.matrix(layout_.at("attn_gate_bank")) + gate, b.grad_inner,
                       gradients.matrix(layout_.at("attn_gate_bank")) + gate, b.grad_gates, false,
                       b.workspace, stream);
  mark("gates", stream);

  const bool mixes = layer.value_embedding.has_value();
  __nv_bfloat16* const grad_value = b.grad_u + 2 * width;
  attention_backward(
      attention_problem(i, batch, settings), head_view(config_, layer, l.query, width),
      head_view(config_, layer, l.key, width),
      mixes ? head_view(config_, layer, l.value, width)
            : head_view(config_, layer, l.u + 2 * width, 3 * width),
      head_view(config_, layer, l.y, width), l.logsumexp,
      head_view(config_, layer, b.grad_inner, width),
      head_view(config_, layer, b.grad_query, width), head_view(config_, layer, b.grad_key, width),
      head_view(config_, layer, grad_value, 3 * width), b.workspace, stream);
  mark("attention", stream);
  const int paired = layer.paired ? 1 : 0;
  qk_prepare_backward(qk_problem(config_, layer, batch.tokens), l.u, l.u + width, b.cosine[paired],
                      b.sine[paired], b.grad_query, b.grad_key, b.grad_u, b.grad_u + width, stream);
  mark("rotary", stream);
  if (mixes) {
    const std::size_t n = at(*layer.value_embedding);
    const std::int64_t value_gate = gate_offset(config_, layer.value_gate);
    value_mix_backward(gates, grad_value, 3 * width, b.value_embedding[n], l.a,
                       parameters.matrix(layout_.at("ve_gate_bank")) + value_gate,
                       first_use_of_table ? nullptr : b.grad_value_embedding[n],
                       b.grad_value_embedding[n],
                       gradients.matrix(layout_.at("ve_gate_bank")) + value_gate, b.grad_gates,
                       true, b.workspace, stream);
    mark("gates", stream);
  }
  linear_backward(algebra, batch.tokens, width, 3 * width, l.a, scaled, b.grad_u, b.grad_part,
                  grad_bank, stream);
  mark("QKV products", stream);
  scale_weight_backward(bank, scalars + scalar.attention_in(number), 3 * square, grad_bank,
                        grad_scalars + scalar.attention_in(number), b.workspace, stream);
  scale_weight_backward(bank + 3 * square, scalars + scalar.attention_out(number), square,
                        grad_bank + 3 * square, grad_scalars + scalar.attention_out(number),
                        b.workspace, stream);
  mark("scaled weights", stream);
}

}  // namespace pairedhead::gpu
