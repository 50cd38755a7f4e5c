#include "tools/targets/emulated_model.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tools/components/model_layout.h"

namespace pairedhead {

using namespace gpu::emulated;
using reference::Config;
using reference::LayerConfig;

ModelProblem emulated_problem(const Config& config) {
  ModelProblem problem{};
  problem.heads = static_cast<int>(config.heads);
  problem.head_dim = static_cast<int>(config.head_dim);
  problem.hidden = static_cast<int>(config.hidden);
  problem.vocabulary = static_cast<int>(config.vocabulary);
  problem.value_embeddings = static_cast<int>(config.value_embeddings);
  problem.skip_from = static_cast<int>(config.skip_from);
  problem.skip_to = static_cast<int>(config.skip_to);
  problem.backout_from = static_cast<int>(config.backout_from);
  const HeadPairing paired =
      config.pairing == Pairing::adjacent ? HeadPairing::adjacent : HeadPairing::strided;
  for (const LayerConfig& layer : config.layers) {
    problem.layers.push_back(
        {.attention = layer.attention,
         .pairing = layer.paired ? paired : HeadPairing::none,
         .long_window = layer.long_window,
         .shift_keys = layer.shift_keys,
         .value_embedding = static_cast<int>(layer.value_embedding.value_or(-1))});
  }
  return problem;
}

namespace {

// ModelWeights or ModelGradients: the families' arrays, of that name after a prefix.
template <class Tensors>
Tensors model_tensors(auto& arrays, const std::string& prefix) {
  const auto bits = [&](const char* name) {
    return arrays.at(prefix + name).template as<std::uint16_t>();
  };
  const auto floats = [&](const char* name) {
    return arrays.at(prefix + name).template as<float>();
  };
  return {.qkvo = bits("qkvo"),
          .c_fc = bits("c_fc"),
          .c_proj = bits("c_proj"),
          .lm_head = bits("lm_head"),
          .embed = bits("embed"),
          .value_embed = bits("value_embed"),
          .smear_gate = bits("smear_gate"),
          .skip_gate = bits("skip_gate"),
          .attn_gate_bank = bits("attn_gate_bank"),
          .ve_gate_bank = bits("ve_gate_bank"),
          .x0_lambdas = floats("x0_lambdas"),
          .scalars = floats("scalars")};
}

}  // namespace

void run_emulated_model(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  ModelProblem problem = emulated_problem(model_config(parameters));
  const auto integers = [&](const char* name) { return inputs.at(name).as<std::int32_t>(); };
  problem.tokens = static_cast<int>(parameters.integer("T"));
  problem.short_window = integers("windows")[0];
  problem.long_window = integers("windows")[1];
  problem.softmax_scale = static_cast<float>(inputs.at("softmax_scale").at(0));
  problem.frequency = inputs.at("frequency").as<float>();
  problem.inputs = integers("tokens");
  problem.targets = integers("targets");
  problem.cu_seqlens = integers("cu_seqlens");
  problem.entries = static_cast<int>(inputs.at("cu_seqlens").size());
  problem.split_embedding = parameters.integer("split") == 1;
  problem.fp8_head = parameters.word("head") == "fp8";
  problem.mtp_weights = inputs.at("mtp_weights").as<float>();
  problem.horizons = static_cast<int>(inputs.at("mtp_weights").size());
  problem.validation = parameters.integer("validation") == 1;
  const Array& tokens = inputs.at("tokens");
  problem.order_seed = XXH3_64bits(tokens.bytes.data(), tokens.bytes.size());
  model(problem, model_tensors<ModelWeights>(inputs, ""), *inputs.at("grad_loss").as<float>(),
        {.loss = outputs.at("outputs/loss").as<float>(),
         .head_input = outputs.at("outputs/head_input").as<std::uint16_t>(),
         .logits = outputs.at("outputs/logits").as<std::uint16_t>(),
         .grad_logits = outputs.at("outputs/grad_logits").as<std::uint16_t>(),
         .grad_head_input = outputs.at("outputs/grad_head_input").as<std::uint16_t>(),
         .grad_head_weight = outputs.at("outputs/grad_head_weight").as<std::uint16_t>()},
        model_tensors<ModelGradients>(outputs, "grads/"));
}

}  // namespace pairedhead
