#include "tools/components/model_layout.h"

#include <algorithm>
#include <sstream>

#include "reference/scalar.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::Config;
using reference::LayerConfig;
using reference::ParameterInfo;
using reference::ParameterSet;

LayerConfig layer_of(const std::string& word) {
  LayerConfig layer;
  const char kind = word.empty() ? ' ' : word[0];
  const bool embedded = word.size() == 2 && word[1] >= '0' && word[1] <= '2';
  if (std::string("PsLn").find(kind) == std::string::npos || (word.size() > 1 && !embedded) ||
      (kind == 'n' && embedded)) {
    throw InputError(
        "layers: expected P, s, L or n, but for n with a digit 0 to 2 after it, got \"" + word +
        "\"");
  }
  layer.attention = kind != 'n';
  layer.paired = kind == 'P';
  layer.long_window = layer.shift_keys = kind == 'L';
  if (embedded) layer.value_embedding = word[1] - '0';
  return layer;
}

// The names of a family's tensors in the order of their layers; the family's own name if it is one
// tensor already.
std::vector<std::string> members(const Config& config, const std::string& family) {
  std::vector<std::string> names;
  for (const ParameterInfo& info : reference::parameter_table(config)) {
    if (info.name == family || info.name.starts_with(family + ".")) names.push_back(info.name);
  }
  return names;
}

bool is_stack(const std::string& family) {
  return family == "qkvo" || family == "c_fc" || family == "c_proj" || family == "value_embed";
}

}  // namespace

Config model_config(const Parameters& p) {
  Config config;
  config.heads = p.integer("H");
  config.head_dim = p.integer("D");
  config.width = config.heads * config.head_dim;
  config.hidden = p.integer("F");
  config.vocabulary = p.integer("V");
  config.bos = config.vocabulary - 1;
  config.pairing = pairing_of(p);
  const std::vector<Index> skip = p.integers("skip");
  if (skip.size() != 2) throw InputError("skip: expected two layers, got " + p.word("skip"));
  config.skip_from = skip[0];
  config.skip_to = skip[1];
  config.backout_from = p.integer("backout");
  std::istringstream words(p.word("layers"));
  Index attention_gate = 0, value_gate = 0;
  for (std::string word; std::getline(words, word, ',');) {
    LayerConfig layer = layer_of(word);
    if (layer.attention) layer.attention_gate = attention_gate++;
    if (layer.value_embedding) layer.value_gate = value_gate++;
    config.layers.push_back(layer);
  }
  if (value_gate == 0) {
    throw InputError("layers: expected one with a value embedding at least, got " +
                     p.word("layers"));
  }
  check_config(config);
  return config;
}

std::string draw_layers(Random& random, Index depth) {
  std::string layers;
  for (Index i = 0; i < depth; ++i) {
    const char kind = "PPsLn"[random.integer(0, i == 0 ? 3 : 4)];
    if (i > 0) layers += ',';
    layers += kind;
    if (kind != 'n' && (i == 0 || random.integer(0, 1) == 0)) {
      layers += static_cast<char>('0' + random.integer(0, 2));
    }
  }
  return layers;
}

std::string layer_words(const Config& config) {
  std::string words;
  for (const LayerConfig& layer : config.layers) {
    if (!words.empty()) words += ',';
    words += !layer.attention ? 'n' : layer.paired ? 'P' : layer.long_window ? 'L' : 's';
    if (layer.value_embedding) words += std::to_string(*layer.value_embedding);
  }
  return words;
}

std::vector<ParameterInfo> stacked_table(const Config& config) {
  std::vector<ParameterInfo> stacks;
  for (ParameterInfo info : reference::parameter_table(config)) {
    info.name = info.name.substr(0, info.name.find('.'));
    if (!stacks.empty() && stacks.back().name == info.name) continue;
    if (is_stack(info.name)) {
      info.shape.insert(info.shape.begin(), static_cast<Index>(members(config, info.name).size()));
    }
    stacks.push_back(info);
  }
  return stacks;
}

template <class Scalar>
ParameterSet<Scalar> stacked(const Config& config, const ParameterSet<Scalar>& parameters) {
  ParameterSet<Scalar> stacks;
  for (const ParameterInfo& info : stacked_table(config)) {
    Tensor<Scalar> stack(info.shape);
    Scalar* next = stack.data();
    for (const std::string& name : members(config, info.name)) {
      const auto found = parameters.find(name);
      if (found == parameters.end()) continue;  // embed while tied: zero
      next = std::copy_n(found->second.data(), found->second.size(), next);
    }
    stacks.emplace(info.name, std::move(stack));
  }
  return stacks;
}

template <class Scalar>
ParameterSet<Scalar> unstacked(const Config& config, const ParameterSet<Scalar>& stacks) {
  ParameterSet<Scalar> parameters =
      reference::zero_parameters<Scalar>(reference::parameter_table(config));
  for (const ParameterInfo& info : stacked_table(config)) {
    const Tensor<Scalar>& stack = stacks.at(info.name);
    require_shape(info.name.c_str(), stack, info.shape);
    const Scalar* next = stack.data();
    for (const std::string& name : members(config, info.name)) {
      Tensor<Scalar>& tensor = parameters.at(name);
      std::copy_n(next, tensor.size(), tensor.data());
      next += tensor.size();
    }
  }
  return parameters;
}

#define INSTANTIATE(Scalar)                                                          \
  template ParameterSet<Scalar> stacked(const Config&, const ParameterSet<Scalar>&); \
  template ParameterSet<Scalar> unstacked(const Config&, const ParameterSet<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
#undef INSTANTIATE

}  // namespace pairedhead
