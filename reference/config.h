#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reference/pairing.h"
#include "reference/schedule.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// What one layer is made of (SPEC §3.2). Every layer has an MLP.
struct LayerConfig {
  bool attention = true;
  bool paired = false;
  bool long_window = false;
  bool shift_keys = false;
  std::optional<Index> value_embedding;  // which of the value embeddings is added to the values
  std::optional<Index> value_gate;       // row of ve_gate_bank; there iff value_embedding is
  std::optional<Index> attention_gate;   // row of attn_gate_bank; there iff attention is
};

// A model and how it is trained (SPEC §15). The defaults are the record's.
struct Config {
  std::string name;
  std::vector<LayerConfig> layers;   // L
  Index width = 768;                 // C = heads * head_dim
  Index heads = 6;                   // H
  Index head_dim = 128;              // D
  Index hidden = 3072;               // F
  Index vocabulary = 50304;          // V
  Index bos = 50256;                 // the token that starts a document
  Index value_embeddings = 3;        // tables that layers may add to their values
  Index skip_from = 3, skip_to = 6;  // output of the one joins the input of the other
  Index backout_from = 7;            // its output is subtracted after the last layer
  Pairing pairing = Pairing::strided;
  Index max_document = 2048;  // training documents are cut to this many tokens
  ScheduleSettings schedule;  // also holds the window unit

  Index depth() const { return static_cast<Index>(layers.size()); }
  Index attention_layers() const;    // rows of attn_gate_bank
  Index value_gated_layers() const;  // rows of ve_gate_bank
  // Pairing of one layer: none where it is not paired.
  Pairing pairing_of(Index layer) const;
};

// SPEC §15: record, small or tiny. Throws InputError naming the three on any other word.
Config config_named(const std::string& name);

// The record's eleven layers, so small that a training step takes milliseconds: C = 16, V = 64,
// T = 16, 6 + 2 steps, split after step 5. Embeddings have 1024 elements, just enough to be
// sharded. No name on the command line: for tests and for rows that train.
Config micro_config();

// Throws InputError with one sentence on a configuration that SPEC §15 refuses, or whose layer
// table contradicts itself (a gate row used twice, a skip that goes backwards).
void check_config(const Config& config);

}  // namespace pairedhead::reference
