#include "reference/config.h"

#include <algorithm>

namespace pairedhead::reference {
namespace {

// SPEC §3.2. Gate rows count the layers that have the gate.
std::vector<LayerConfig> record_layers() {
  std::vector<LayerConfig> layers(11);
  const auto at = [&](Index i) -> LayerConfig& { return layers[static_cast<std::size_t>(i)]; };
  for (const Index paired : {0, 2, 5, 9}) at(paired).paired = true;
  for (const Index far : {3, 10}) at(far).long_window = at(far).shift_keys = true;
  at(6).attention = false;
  at(0).value_embedding = 1;
  at(1).value_embedding = 2;
  at(8).value_embedding = 0;
  at(9).value_embedding = 1;
  at(10).value_embedding = 2;
  Index attention_gate = 0, value_gate = 0;
  for (LayerConfig& layer : layers) {
    if (layer.attention) layer.attention_gate = attention_gate++;
    if (layer.value_embedding) layer.value_gate = value_gate++;
  }
  return layers;
}

Config record() {
  Config config;
  config.name = "record";
  config.layers = record_layers();
  return config;
}

Config small() {
  Config config = record();
  config.name = "small";
  config.width = 384;
  config.head_dim = 64;
  config.hidden = 1536;
  config.max_document = 512;
  config.schedule.scheduled = 300;
  config.schedule.extension = 8;
  config.schedule.sequence = {2048, 4096, 6144};
  config.schedule.momentum_warm_up = 50;
  config.schedule.momentum_cool_down = 10;
  return config;
}

Config tiny() {
  Config config = record();
  config.name = "tiny";
  config.width = 96;
  config.head_dim = 16;
  config.hidden = 384;
  config.vocabulary = 512;
  config.bos = 511;
  config.max_document = 64;
  config.schedule.scheduled = 60;
  config.schedule.extension = 4;
  config.schedule.sequence = {64, 128, 192};
  config.schedule.window_unit = 4;
  config.schedule.momentum_warm_up = 10;
  config.schedule.momentum_cool_down = 2;
  return config;
}

Index count_if(const std::vector<LayerConfig>& layers, bool (*holds)(const LayerConfig&)) {
  return static_cast<Index>(std::count_if(layers.begin(), layers.end(), holds));
}

[[noreturn]] void refuse(const Config& config, const std::string& what) {
  throw InputError("configuration" + (config.name.empty() ? "" : " " + config.name) + ": " + what);
}

void require_at_least(const Config& config, const char* what, Index value, Index least) {
  if (value < least) {
    refuse(config, std::string(what) + ": expected at least " + std::to_string(least) + ", got " +
                       std::to_string(value));
  }
}

void require_below(const Config& config, const std::string& what, Index value, Index limit) {
  if (value < 0 || value >= limit) {
    refuse(config, what + ": expected 0 to " + std::to_string(limit - 1) + ", got " +
                       std::to_string(value));
  }
}

void check_sizes(const Config& config) {
  require_at_least(config, "heads", config.heads, 1);
  require_at_least(config, "hidden width", config.hidden, 1);
  require_at_least(config, "vocabulary", config.vocabulary, 1);
  require_at_least(config, "value embeddings", config.value_embeddings, 0);
  require_at_least(config, "document length", config.max_document, 1);
  require_at_least(config, "width", config.width, 12);  // gates read 12 channels
  if (config.head_dim < 8 || config.head_dim % 4 != 0) {
    refuse(config, "head width: expected a multiple of 4, at least 8, got " +
                       std::to_string(config.head_dim));
  }
  if (config.width != config.heads * config.head_dim) {
    refuse(config, "width: expected heads x head width = " +
                       std::to_string(config.heads * config.head_dim) + ", got " +
                       std::to_string(config.width));
  }
  require_below(config, "start token", config.bos, config.vocabulary);
}

// A row of a gate bank, which belongs to one layer.
void take_row(const Config& config, const std::string& what, Index row, std::vector<bool>& taken) {
  require_below(config, what, row, static_cast<Index>(taken.size()));
  std::vector<bool>::reference is_taken = taken[static_cast<std::size_t>(row)];
  if (is_taken) refuse(config, what + ": row " + std::to_string(row) + " has a layer already");
  is_taken = true;
}

void check_layers(const Config& config) {
  require_at_least(config, "layers", config.depth(), 1);
  std::vector<bool> attention_gates(static_cast<std::size_t>(config.attention_layers()));
  std::vector<bool> value_gates(static_cast<std::size_t>(config.value_gated_layers()));
  for (Index i = 0; i < config.depth(); ++i) {
    const LayerConfig& layer = config.layers[static_cast<std::size_t>(i)];
    const std::string where = "layer " + std::to_string(i);
    if (!layer.attention && (layer.paired || layer.long_window || layer.shift_keys ||
                             layer.value_embedding || layer.value_gate || layer.attention_gate)) {
      refuse(config, where + ": expected no attention settings where there is no attention");
    }
    if (layer.attention != layer.attention_gate.has_value()) {
      refuse(config, where + ": expected an attention gate where there is attention");
    }
    if (layer.value_embedding.has_value() != layer.value_gate.has_value()) {
      refuse(config, where + ": expected a value gate exactly where there is a value embedding");
    }
    if (layer.attention_gate) {
      take_row(config, where + ", attention gate", *layer.attention_gate, attention_gates);
    }
    if (layer.value_gate) take_row(config, where + ", value gate", *layer.value_gate, value_gates);
    if (layer.value_embedding) {
      require_below(config, where + ", value embedding", *layer.value_embedding,
                    config.value_embeddings);
    }
    if (layer.paired && config.heads % 2 != 0) {
      refuse(config, where + ": expected an even number of heads, since they are paired, got " +
                         std::to_string(config.heads));
    }
    if (layer.paired && config.pairing == Pairing::none) {
      refuse(config, where + ": expected a pairing, strided or adjacent, for paired heads");
    }
    if (layer.paired && layer.shift_keys) {
      refuse(config, where + ": expected no key shift where heads are paired");
    }
    if (layer.shift_keys && config.head_dim % 8 != 0) {
      refuse(config, where + ": expected a head width that is a multiple of 8, since keys are " +
                         "shifted, got " + std::to_string(config.head_dim));
    }
  }
}

void check_connections(const Config& config) {
  require_below(config, "skip's giver", config.skip_from, config.depth());
  require_below(config, "skip's taker", config.skip_to, config.depth());
  require_below(config, "backout layer", config.backout_from, config.depth());
  if (config.skip_from >= config.skip_to) {
    refuse(config, "skip: expected a later layer than " + std::to_string(config.skip_from) +
                       " to take it, got " + std::to_string(config.skip_to));
  }
}

}  // namespace

Index Config::attention_layers() const {
  return count_if(layers, [](const LayerConfig& layer) { return layer.attention; });
}

Index Config::value_gated_layers() const {
  return count_if(layers, [](const LayerConfig& layer) { return layer.value_gate.has_value(); });
}

Pairing Config::pairing_of(Index layer) const {
  return layers.at(static_cast<std::size_t>(layer)).paired ? pairing : Pairing::none;
}

Config config_named(const std::string& name) {
  if (name == "record") return record();
  if (name == "small") return small();
  if (name == "tiny") return tiny();
  throw InputError("configuration: expected record, small or tiny, got \"" + name + "\"");
}

Config micro_config() {
  Config config = tiny();
  config.name = "micro";
  config.width = 16;
  config.heads = 2;
  config.head_dim = 8;
  config.hidden = 32;
  config.vocabulary = 64;
  config.bos = 63;
  config.max_document = 16;
  config.schedule.scheduled = 6;
  config.schedule.extension = 2;
  config.schedule.sequence = {16, 32, 48};
  config.schedule.momentum_warm_up = 3;
  config.schedule.momentum_cool_down = 1;
  return config;
}

void check_config(const Config& config) {
  check_sizes(config);
  check_layers(config);
  check_connections(config);
  check_schedule(config.schedule);
}

}  // namespace pairedhead::reference
