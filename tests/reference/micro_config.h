#pragma once

#include "reference/config.h"

namespace pairedhead::testing {

// The record's eleven layers, so small that a training step takes milliseconds: C = 16, V = 128,
// T = 16, 6 + 2 steps, split after step 5. Embeddings have 2048 elements and are sharded.
inline reference::Config micro_config() {
  reference::Config config = reference::config_named("tiny");
  config.name = "micro";
  config.width = 16;
  config.heads = 2;
  config.head_dim = 8;
  config.hidden = 64;
  config.vocabulary = 128;
  config.bos = 127;
  config.max_document = 16;
  config.schedule.scheduled = 6;
  config.schedule.extension = 2;
  config.schedule.sequence = {16, 32, 48};
  config.schedule.momentum_warm_up = 3;
  config.schedule.momentum_cool_down = 1;
  return config;
}

}  // namespace pairedhead::testing
