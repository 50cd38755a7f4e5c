#include "reference/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pairedhead::reference {
namespace {

using testing::ElementsAre;

template <class Of>
std::vector<Index> layers_where(const Config& config, Of of) {
  std::vector<Index> found;
  for (Index i = 0; i < config.depth(); ++i) {
    if (of(config.layers[static_cast<std::size_t>(i)])) found.push_back(i);
  }
  return found;
}

TEST(Config, LayerTableOfSpec) {  // SPEC §3.2
  for (const char* name : {"record", "small", "tiny"}) {
    const Config config = config_named(name);
    EXPECT_EQ(config.depth(), 11);
    EXPECT_THAT(layers_where(config, [](const auto& l) { return l.paired; }),
                ElementsAre(0, 2, 5, 9));
    EXPECT_THAT(layers_where(config, [](const auto& l) { return l.long_window; }),
                ElementsAre(3, 10));
    EXPECT_THAT(layers_where(config, [](const auto& l) { return l.shift_keys; }),
                ElementsAre(3, 10));
    EXPECT_THAT(layers_where(config, [](const auto& l) { return !l.attention; }), ElementsAre(6));
    std::vector<Index> embeddings, value_gates, attention_gates;
    for (const LayerConfig& layer : config.layers) {
      embeddings.push_back(layer.value_embedding.value_or(-1));
      value_gates.push_back(layer.value_gate.value_or(-1));
      attention_gates.push_back(layer.attention_gate.value_or(-1));
    }
    EXPECT_THAT(embeddings, ElementsAre(1, 2, -1, -1, -1, -1, -1, -1, 0, 1, 2));
    EXPECT_THAT(value_gates, ElementsAre(0, 1, -1, -1, -1, -1, -1, -1, 2, 3, 4));
    EXPECT_THAT(attention_gates, ElementsAre(0, 1, 2, 3, 4, 5, -1, 6, 7, 8, 9));
    EXPECT_EQ(config.attention_layers(), 10);
    EXPECT_EQ(config.value_gated_layers(), 5);
    EXPECT_EQ(config.pairing_of(2), Pairing::strided);
    EXPECT_EQ(config.pairing_of(3), Pairing::none);
    EXPECT_EQ(config.skip_from, 3);
    EXPECT_EQ(config.skip_to, 6);
    EXPECT_EQ(config.backout_from, 7);
  }
}

TEST(Config, MicroKeepsTheLayersAndIsSharded) {
  const Config config = micro_config();
  EXPECT_NO_THROW(check_config(config));
  EXPECT_THAT(layers_where(config, [](const auto& l) { return l.paired; }),
              ElementsAre(0, 2, 5, 9));
  EXPECT_EQ(config.skip_to, 6);
  EXPECT_GE(config.vocabulary * config.width, 1024);  // SPEC §9
}

TEST(Config, SizesOfSpec) {  // SPEC §15
  struct Row {
    const char* name;
    Index width, head_dim, hidden, vocabulary, bos, unit, first, last, scheduled, extension,
        document, warm_up, cool_down;
  };
  const Row rows[] = {
      {"record", 768, 128, 3072, 50304, 50256, 128, 16384, 49152, 1735, 40, 2048, 300, 50},
      {"small", 384, 64, 1536, 50304, 50256, 128, 2048, 6144, 300, 8, 512, 50, 10},
      {"tiny", 96, 16, 384, 512, 511, 4, 64, 192, 60, 4, 64, 10, 2}};
  for (const Row& row : rows) {
    const Config config = config_named(row.name);
    EXPECT_NO_THROW(check_config(config));
    EXPECT_EQ(config.name, row.name);
    EXPECT_EQ(config.heads, 6);
    EXPECT_EQ(config.width, row.width);
    EXPECT_EQ(config.head_dim, row.head_dim);
    EXPECT_EQ(config.hidden, row.hidden);
    EXPECT_EQ(config.vocabulary, row.vocabulary);
    EXPECT_EQ(config.bos, row.bos);
    EXPECT_EQ(config.max_document, row.document);
    EXPECT_EQ(config.schedule.window_unit, row.unit);
    EXPECT_EQ(config.schedule.sequence[0], row.first);
    EXPECT_EQ(config.schedule.sequence[1], 2 * row.first);
    EXPECT_EQ(config.schedule.sequence[2], row.last);
    EXPECT_EQ(config.schedule.micro_batches, 8);
    EXPECT_EQ(config.schedule.scheduled, row.scheduled);
    EXPECT_EQ(config.schedule.extension, row.extension);
    EXPECT_EQ(config.schedule.momentum_warm_up, row.warm_up);
    EXPECT_EQ(config.schedule.momentum_cool_down, row.cool_down);
  }
}

// What is refused, and the sentence that says why.
struct Refusal {
  void (*spoil)(Config&);
  const char* sentence;
};

TEST(Config, RefusesWhatSpecRefuses) {
  const Refusal refusals[] = {
      {[](Config& c) { c.layers.clear(); },
       "configuration tiny: layers: expected at least 1, got 0"},
      {[](Config& c) { c.heads = 8; },
       "configuration tiny: width: expected heads x head width = 128, got 96"},
      {[](Config& c) { c.head_dim = 6; },
       "configuration tiny: head width: expected a multiple of 4, at least 8, got 6"},
      {[](Config& c) { c.head_dim = 4, c.heads = 24; },
       "configuration tiny: head width: expected a multiple of 4, at least 8, got 4"},
      {[](Config& c) { c.width = 8, c.heads = 1, c.head_dim = 8; },
       "configuration tiny: width: expected at least 12, got 8"},
      {[](Config& c) { c.heads = 3, c.head_dim = 32; },
       "configuration tiny: layer 0: expected an even number of heads, since they are paired, got "
       "3"},
      {[](Config& c) { c.heads = 8, c.head_dim = 12; },
       "configuration tiny: layer 3: expected a head width that is a multiple of 8, since keys are "
       "shifted, got 12"},
      {[](Config& c) { c.pairing = Pairing::none; },
       "configuration tiny: layer 0: expected a pairing, strided or adjacent, for paired heads"},
      {[](Config& c) { c.layers[2].shift_keys = true; },
       "configuration tiny: layer 2: expected no key shift where heads are paired"},
      {[](Config& c) { c.layers[6].paired = true; },
       "configuration tiny: layer 6: expected no attention settings where there is no attention"},
      {[](Config& c) { c.layers[1].attention_gate.reset(); },
       "configuration tiny: layer 1: expected an attention gate where there is attention"},
      {[](Config& c) { c.layers[1].attention_gate = 0; },
       "configuration tiny: layer 1, attention gate: row 0 has a layer already"},
      {[](Config& c) { c.layers[1].value_gate.reset(); },
       "configuration tiny: layer 1: expected a value gate exactly where there is a value "
       "embedding"},
      {[](Config& c) { c.layers[1].value_gate = 5; },
       "configuration tiny: layer 1, value gate: expected 0 to 4, got 5"},
      {[](Config& c) { c.layers[8].value_embedding = 3; },
       "configuration tiny: layer 8, value embedding: expected 0 to 2, got 3"},
      {[](Config& c) { c.skip_from = 6; },
       "configuration tiny: skip: expected a later layer than 6 to take it, got 6"},
      {[](Config& c) { c.backout_from = 11; },
       "configuration tiny: backout layer: expected 0 to 10, got 11"},
      {[](Config& c) { c.bos = 512; },
       "configuration tiny: start token: expected 0 to 511, got 512"},
      {[](Config& c) { c.hidden = 0; },
       "configuration tiny: hidden width: expected at least 1, got 0"},
      {[](Config& c) { c.max_document = 0; },
       "configuration tiny: document length: expected at least 1, got 0"},
      {[](Config& c) { c.schedule.window_unit = 0; }, "window unit: expected at least 1, got 0"},
  };
  for (const Refusal& refusal : refusals) {
    Config config = config_named("tiny");
    refusal.spoil(config);
    try {
      check_config(config);
      ADD_FAILURE() << "accepted; expected: " << refusal.sentence;
    } catch (const InputError& error) {
      EXPECT_STREQ(error.what(), refusal.sentence);
    }
  }
}

TEST(Config, RefusesAnUnknownName) {
  try {
    config_named("large");
    FAIL() << "no InputError";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "configuration: expected record, small or tiny, got \"large\"");
  }
}

}  // namespace
}  // namespace pairedhead::reference
