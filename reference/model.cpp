#include "reference/model.h"

#include <algorithm>

#include "reference/backout.h"
#include "reference/embed_smear_norm.h"
#include "reference/embedding.h"
#include "reference/mutant.h"
#include "reference/rms_norm.h"
#include "reference/scalar.h"
#include "reference/smear.h"
#include "reference/stored.h"

namespace pairedhead::reference {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Streams of randomness: one for each part, so that forward and backward round alike.
constexpr std::uint64_t x0_stream = 1, head_stream = 2, loss_stream = 3, embedding_stream = 4,
                        backward_stream = 5, smear_stream = 6, first_block_stream = 16;

template <class Scalar>
void check(const Config& config, const ParameterSet<Scalar>& parameters, const Batch& batch,
           const ModelSettings& settings) {
  std::vector<ParameterInfo> table = parameter_table(config);
  for (ParameterInfo& info : table) {
    const auto found = parameters.find(info.name);
    if (found == parameters.end()) continue;
    // Any padding will do.
    if (info.name == "scalars" && found->second.size() > info.shape[0]) {
      info.shape[0] = found->second.size();
    }
  }
  if (!settings.split_embedding && !parameters.contains("embed")) {
    std::erase_if(table, [](const ParameterInfo& info) { return info.name == "embed"; });
  }
  check_parameters("parameters", parameters, table);
  if (batch.targets.size() != batch.inputs.size()) {
    throw InputError("targets: expected " + std::to_string(batch.inputs.size()) +
                     " tokens, as many as inputs, got " + std::to_string(batch.targets.size()));
  }
}

// Matrix `row` of a gate bank, [H, 12].
template <class Scalar>
Tensor<Scalar> gate_of(const Tensor<Scalar>& bank, Index row) {
  Tensor<Scalar> gate({bank.dim(1), bank.dim(2)});
  std::copy_n(&bank(row, 0, 0), gate.size(), gate.data());
  return gate;
}

template <class Scalar>
void put_gate(const Tensor<Scalar>& gate, Index row, Tensor<Scalar>& bank) {
  std::copy_n(gate.data(), gate.size(), &bank(row, 0, 0));
}

// Adds a contribution to a gradient that several give to, and rounds it where it is stored.
template <class Scalar>
void gather(Tensor<Scalar> part, Tensor<Scalar>& sum, const Rounding& rounding,
            std::uint64_t buffer) {
  if (sum.size() == 0) sum = Tensor<Scalar>(part.shape());
  require_shape("gradient", part, sum.shape());
  const Tensor<Scalar> given = as_operand(std::move(part));
  for (Index i = 0; i < sum.size(); ++i) sum[i] += given[i];
  sum = rounding.split(buffer).bf16(std::move(sum));
}

// The parameters as the layers read them.
template <class Scalar>
class Weights {
 public:
  Weights(const Config& config, const ParameterSet<Scalar>& parameters,
          const ModelSettings& settings)
      : config_(config), parameters_(parameters), scalar_{config.depth()}, settings_(settings) {}

  const Tensor<Scalar>& operator[](const std::string& name) const { return parameters_.at(name); }
  Scalar scalar(Index index) const { return (*this)["scalars"][index]; }
  const ScalarLayout& layout() const { return scalar_; }

  std::string embedding_name() const {
    if (mutated(Mutant::split_lookup_reads_head)) return "lm_head";
    return settings_.split_embedding ? "embed" : "lm_head";
  }

  BlockWeights<Scalar> block(Index i) const {
    const LayerConfig& layer = config_.layers[at(i)];
    const auto bank = [&](const char* name, std::optional<Index> row) {
      return row ? gate_of((*this)[name], *row) : Tensor<Scalar>();
    };
    static const Tensor<Scalar> none;
    return {.c_fc = (*this)[c_fc_name(i)],
            .c_proj = (*this)[c_proj_name(i)],
            .rho = scalar(scalar_.residual(i)),
            .lam = (*this)["x0_lambdas"][i],
            .layer = {.qkvo = layer.attention ? (*this)[qkvo_name(i)] : none,
                      .gate = bank("attn_gate_bank", layer.attention_gate),
                      .value_gate = bank("ve_gate_bank", layer.value_gate),
                      .alpha = scalar(scalar_.attention_in(i)),
                      .omega = scalar(scalar_.attention_out(i))},
            .skip_gate = (*this)["skip_gate"],
            .theta = scalar(scalar_.skip())};
  }

 private:
  const Config& config_;
  const ParameterSet<Scalar>& parameters_;
  ScalarLayout scalar_;
  const ModelSettings& settings_;
};

// What the layers of one pass share.
template <class Scalar>
class Trunk {
 public:
  Trunk(const Config& config, const Batch& batch, const ModelSettings& settings)
      : config_(config), batch_(batch), settings_(settings) {
    const auto tokens = static_cast<Index>(batch.inputs.size());
    for (const LayerConfig& layer : config.layers) {
      RotaryFactors<Scalar>& factors = layer.paired ? paired_ : plain_;
      if (!layer.attention || factors.cosine.size() > 0) continue;
      const RotaryTable table = rotary_table(settings.rotary.frequency, tokens, layer.paired);
      factors = {cast<Scalar>(table.cosine), cast<Scalar>(table.sine)};
    }
  }

  const RotaryFactors<Scalar>& factors(Index i) const {
    return config_.layers[at(i)].paired ? paired_ : plain_;
  }

  BlockSettings block(Index i) const {
    const LayerConfig& layer = config_.layers[at(i)];
    bool far = layer.long_window;
    if (mutated(Mutant::long_layers_get_short_window)) far = false;
    double softmax_scale = settings_.rotary.softmax_scale;
    if (mutated(Mutant::softmax_scale_stays_at_start)) softmax_scale = 0.1;
    return {.attention = layer.attention,
            .skip = i == config_.skip_to,
            .layer = {.heads = config_.heads,
                      .attention = {.pairing = config_.pairing_of(i),
                                    .window = far ? settings_.long_window : settings_.short_window,
                                    .softmax_scale = softmax_scale,
                                    .cu_seqlens = batch_.cu_seqlens},
                      .shift_keys = layer.shift_keys}};
  }

  BlockStreams<Scalar> streams(Index i, const ModelTape<Scalar>& tape) const {
    const LayerConfig& layer = config_.layers[at(i)];
    Index from = config_.skip_from;
    if (mutated(Mutant::skip_stream_before_block)) --from;
    return {.x = tape.stream[at(i)],
            .x0 = tape.x0,
            .x_skip = i == config_.skip_to ? tape.stream[at(from + 1)] : none_,
            .value_embedding =
                layer.value_embedding ? tape.value_embedding[at(*layer.value_embedding)] : none_};
  }

  // x_back: what the backout layer leaves.
  const Tensor<Scalar>& backout_stream(const ModelTape<Scalar>& tape) const {
    Index from = config_.backout_from;
    if (mutated(Mutant::backout_stream_before_block)) --from;
    return tape.stream[at(from + 1)];
  }

 private:
  const Config& config_;
  const Batch& batch_;
  const ModelSettings& settings_;
  RotaryFactors<Scalar> plain_, paired_;
  Tensor<Scalar> none_;
};

HeadForm form_of(const ModelSettings& settings) {
  return head_form(settings.head, settings.loss.validation);
}

// s_t without what smear takes from another document.
template <class Scalar>
void reset_smear_at_documents(const Tensor<Scalar>& embedded, const Batch& batch,
                              Tensor<Scalar>& smeared) {
  for (const Index start : batch.cu_seqlens) {
    if (start >= smeared.dim(0)) continue;
    std::copy_n(&embedded(start, 0), embedded.dim(1), &smeared(start, 0));
  }
}

template <class Scalar>
Tensor<Scalar> smeared_of(const Weights<Scalar>& weights, const Tensor<Scalar>& embedded,
                          const Batch& batch) {
  Tensor<Scalar> smeared =
      smear(embedded, weights["smear_gate"], weights.scalar(weights.layout().smear()));
  if (mutated(Mutant::smear_reset_at_documents)) {
    reset_smear_at_documents(embedded, batch, smeared);
  }
  return smeared;
}

}  // namespace

template <class Scalar>
ModelForward<Scalar> model_trunk(const Config& config, const ParameterSet<Scalar>& parameters,
                                 const Batch& batch, const ModelSettings& settings,
                                 Rounding rounding) {
  check(config, parameters, batch, settings);
  const Weights<Scalar> weights(config, parameters, settings);
  ModelForward<Scalar> result;
  ModelTape<Scalar>& tape = result.tape;
  tape.embedded = embedding(batch.inputs, weights[weights.embedding_name()]);
  tape.smeared = as_operand(smeared_of(weights, tape.embedded, batch));
  tape.x0 = stored(rms_norm(tape.smeared), rounding, x0_stream);
  for (Index n = 0; n < config.value_embeddings; ++n) {
    tape.value_embedding.push_back(embedding(batch.inputs, weights[value_embed_name(n)]));
  }

  const Trunk<Scalar> trunk(config, batch, settings);
  tape.stream.push_back(tape.x0);
  tape.blocks.resize(at(config.depth()));
  for (Index i = 0; i < config.depth(); ++i) {
    const Rounding block_rounding =
        rounding.split(first_block_stream + static_cast<std::uint64_t>(i));
    tape.stream.push_back(stored(block(trunk.streams(i, tape), weights.block(i), trunk.factors(i),
                                       trunk.block(i), block_rounding, tape.blocks[at(i)]),
                                 block_rounding, 0));
  }

  tape.reduced = as_operand(backout(tape.stream.back(), trunk.backout_stream(tape),
                                    weights.scalar(weights.layout().backout())));
  tape.head_input =
      stored(mutated(Mutant::final_norm_missing) ? tape.reduced : rms_norm(tape.reduced), rounding,
             head_stream);
  return result;
}

template <class Scalar>
void model_logits(const ParameterSet<Scalar>& parameters, const ModelSettings& settings,
                  Rounding rounding, ModelForward<Scalar>& forward) {
  forward.logits =
      stored(head(forward.tape.head_input, parameters.at("lm_head"), form_of(settings)), rounding,
             loss_stream);
}

template <class Scalar>
void model_loss(const Batch& batch, const ModelSettings& settings, ModelForward<Scalar>& forward) {
  LossForward<Scalar> loss = softcap_loss(forward.logits, batch.targets, settings.loss);
  forward.loss = loss.loss;
  forward.logsumexp = std::move(loss.logsumexp);
}

template <class Scalar>
ModelForward<Scalar> model_forward(const Config& config, const ParameterSet<Scalar>& parameters,
                                   const Batch& batch, const ModelSettings& settings,
                                   Rounding rounding) {
  ModelForward<Scalar> result = model_trunk(config, parameters, batch, settings, rounding);
  model_logits(parameters, settings, rounding, result);
  model_loss(batch, settings, result);
  return result;
}

template <class Scalar>
Tensor<Scalar> model_logits_backward(const Batch& batch, const ModelSettings& settings,
                                     const ModelForward<Scalar>& forward, const Scalar& grad_loss) {
  return softcap_loss_backward(forward.logits, forward.logsumexp, batch.targets, settings.loss,
                               grad_loss);
}

template <class Scalar>
LinearGradients<Scalar> model_head_backward(const ParameterSet<Scalar>& parameters,
                                            const ModelSettings& settings,
                                            const ModelForward<Scalar>& forward,
                                            const Tensor<Scalar>& grad_logits, Rounding rounding) {
  return head_backward(forward.tape.head_input, parameters.at("lm_head"),
                       stored(grad_logits, rounding.split(backward_stream), loss_stream),
                       form_of(settings));
}

template <class Scalar>
ParameterSet<Scalar> model_backward(const Config& config, const ParameterSet<Scalar>& parameters,
                                    const Batch& batch, const ModelSettings& settings,
                                    const ModelForward<Scalar>& forward, const Scalar& grad_loss,
                                    Rounding rounding) {
  check(config, parameters, batch, settings);
  const Tensor<Scalar> grad_logits = model_logits_backward(batch, settings, forward, grad_loss);
  return model_trunk_backward(
      config, parameters, batch, settings, forward,
      model_head_backward(parameters, settings, forward, grad_logits, rounding), rounding);
}

template <class Scalar>
ParameterSet<Scalar> model_trunk_backward(const Config& config,
                                          const ParameterSet<Scalar>& parameters,
                                          const Batch& batch, const ModelSettings& settings,
                                          const ModelForward<Scalar>& forward,
                                          const LinearGradients<Scalar>& grad_head,
                                          Rounding rounding) {
  const Weights<Scalar> weights(config, parameters, settings);
  const ModelTape<Scalar>& tape = forward.tape;
  const Trunk<Scalar> trunk(config, batch, settings);
  const Rounding backward = rounding.split(backward_stream);

  ParameterSet<Scalar> grad;
  Tensor<Scalar>& scalars = grad["scalars"] = Tensor<Scalar>(weights["scalars"].shape());
  Tensor<Scalar>& lambdas = grad["x0_lambdas"] = Tensor<Scalar>(weights["x0_lambdas"].shape());
  for (const char* bank : {"attn_gate_bank", "ve_gate_bank", "skip_gate"}) {
    grad[bank] = Tensor<Scalar>(weights[bank].shape());
  }

  // Final norm and backout.
  const Rounding tail = backward.split(head_stream);
  BackoutGradients<Scalar> reduced = backout_backward(
      tape.stream.back(), trunk.backout_stream(tape), weights.scalar(weights.layout().backout()),
      rms_norm_backward(tape.reduced, stored(grad_head.x, tail, 1)));
  scalars[weights.layout().backout()] = reduced.beta;
  Tensor<Scalar> grad_x = stored(std::move(reduced.x), tail, 2);
  Tensor<Scalar> grad_x0, grad_skip;
  std::vector<Tensor<Scalar>> grad_value(at(config.value_embeddings));

  for (Index i = config.depth() - 1; i >= 0; --i) {
    const LayerConfig& layer = config.layers[at(i)];
    const std::uint64_t stream = first_block_stream + static_cast<std::uint64_t>(i);
    const Rounding here = backward.split(stream);
    if (i == config.backout_from) gather(std::move(reduced.x_back), grad_x, here, 1);
    if (i == config.skip_from && !mutated(Mutant::skip_gradient_lost)) {
      gather(std::move(grad_skip), grad_x, here, 2);  // NOLINT(bugprone-use-after-move): once
    }
    BlockGradients<Scalar> block =
        block_backward(trunk.streams(i, tape), weights.block(i), trunk.factors(i), trunk.block(i),
                       tape.blocks[at(i)], grad_x, rounding.split(stream));

    grad[c_fc_name(i)] = std::move(block.c_fc);
    grad[c_proj_name(i)] = std::move(block.c_proj);
    scalars[weights.layout().residual(i)] = block.rho;
    lambdas[i] = block.lam;
    if (layer.attention) {
      grad[qkvo_name(i)] = std::move(block.layer.qkvo);
      put_gate(block.layer.gate, *layer.attention_gate, grad["attn_gate_bank"]);
      scalars[weights.layout().attention_in(i)] = block.layer.alpha;
      scalars[weights.layout().attention_out(i)] = block.layer.omega;
    }
    if (layer.value_embedding) {
      put_gate(block.layer.value_gate, *layer.value_gate, grad["ve_gate_bank"]);
      Tensor<Scalar>& sum = grad_value[at(*layer.value_embedding)];
      if (mutated(Mutant::value_embedding_gradient_of_first_use)) sum = {};
      gather(std::move(block.layer.value_embedding), sum, here, 3);
    }
    if (i == config.skip_to) {
      grad["skip_gate"] = std::move(block.skip_gate);
      scalars[weights.layout().skip()] = block.theta;
      grad_skip = std::move(block.x_skip);
    }
    gather(std::move(block.x0), grad_x0, here, 4);
    grad_x = stored(std::move(block.x), here, 5);
  }
  // What enters layer 0 is x0.
  if (!mutated(Mutant::entry_gradient_lost)) {
    gather(std::move(grad_x), grad_x0, backward, x0_stream);
  }

  // Embeddings. A tied table has its gradient from the head before.
  Tensor<Scalar> of_head;
  if (!settings.split_embedding) of_head = stored(grad_head.w, backward, embedding_stream);
  EmbedSmearNormGradients<Scalar> embedded = embed_smear_norm_backward(
      batch.inputs, weights[weights.embedding_name()], weights["smear_gate"],
      weights.scalar(weights.layout().smear()), grad_x0, of_head, backward.split(smear_stream));
  grad["smear_gate"] = std::move(embedded.w);
  scalars[weights.layout().smear()] = embedded.lam;
  if (settings.split_embedding) {
    grad["embed"] = std::move(embedded.table);
    grad["lm_head"] = grad_head.w;
  } else {
    const bool head_only = mutated(Mutant::tied_gradient_of_head_only);
    grad["lm_head"] = std::move(head_only ? of_head : embedded.table);
  }
  for (Index n = 0; n < config.value_embeddings; ++n) {
    Tensor<Scalar>& sum = grad_value[at(n)];
    if (sum.size() == 0) sum = Tensor<Scalar>(tape.x0.shape());
    grad[value_embed_name(n)] = embedding_backward(batch.inputs, sum, config.vocabulary);
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                  \
  template ModelForward<Scalar> model_trunk(const Config&, const ParameterSet<Scalar>&,      \
                                            const Batch&, const ModelSettings&, Rounding);   \
  template void model_logits(const ParameterSet<Scalar>&, const ModelSettings&, Rounding,    \
                             ModelForward<Scalar>&);                                         \
  template void model_loss(const Batch&, const ModelSettings&, ModelForward<Scalar>&);       \
  template ModelForward<Scalar> model_forward(const Config&, const ParameterSet<Scalar>&,    \
                                              const Batch&, const ModelSettings&, Rounding); \
  template Tensor<Scalar> model_logits_backward(const Batch&, const ModelSettings&,          \
                                                const ModelForward<Scalar>&, const Scalar&); \
  template LinearGradients<Scalar> model_head_backward(                                      \
      const ParameterSet<Scalar>&, const ModelSettings&, const ModelForward<Scalar>&,        \
      const Tensor<Scalar>&, Rounding);                                                      \
  template ParameterSet<Scalar> model_trunk_backward(                                        \
      const Config&, const ParameterSet<Scalar>&, const Batch&, const ModelSettings&,        \
      const ModelForward<Scalar>&, const LinearGradients<Scalar>&, Rounding);                \
  template ParameterSet<Scalar> model_backward(                                              \
      const Config&, const ParameterSet<Scalar>&, const Batch&, const ModelSettings&,        \
      const ModelForward<Scalar>&, const Scalar&, Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
