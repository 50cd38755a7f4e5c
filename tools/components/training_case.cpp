#include "tools/components/training_case.h"

#include <algorithm>

#include "reference/dtype.h"
#include "reference/schedule.h"
#include "tools/components/model_layout.h"
#include "tools/components/rows.h"

namespace pairedhead {

using reference::Config;
using reference::ParameterInfo;
using reference::ParameterSet;
using reference::TrainerSettings;

namespace {

Array parameter_values(const ParameterInfo& info, Random random) {
  Array array(info.dtype, info.shape);
  for (Index i = 0; i < array.size(); ++i) {
    if (info.dtype == DType::fp32) {
      const double sign = random.integer(0, 1) == 0 ? 1 : -1;
      array.set(i, sign * static_cast<double>(random.integer(4, 24)) / 16);
    } else {
      const double size = info.optimizer == reference::Optimizer::normuon ? 32 : 16;
      array.set(i, static_cast<double>(random.integer(-8, 8)) / size);
    }
  }
  return array;
}

}  // namespace

Config training_config(const Parameters& p) {
  Config config = reference::micro_config();
  if (!p.has("layers")) return config;
  Config drawn = model_config(p);
  drawn.name = "drawn";
  drawn.max_document = config.max_document;
  drawn.schedule = config.schedule;
  return drawn;
}

TrainerSettings training_settings(const Parameters& p, Rounding rounding) {
  TrainerSettings settings;
  settings.config = training_config(p);
  settings.ranks = p.integer("ranks");
  settings.storage = reference::Storage::as_defined;
  settings.rounding = rounding;
  return settings;
}

Parameters draw_training(Random& random) {
  const Index depth = random.integer(2, 3);
  const std::string layers = draw_layers(random, depth);
  const Index to = random.integer(1, depth - 1);
  return Parameters()
      .set("layers", layers)
      .set("skip", std::vector<Index>{random.integer(0, to - 1), to})
      .set("backout", random.integer(0, depth - 1))
      .set("pairing", random.integer(0, 3) == 0 ? "adjacent" : "strided")
      .set("H", Index{2})
      .set("D", random.integer(0, 7) > 0 ? Index{8} : Index{16})
      .set("F", 16 * random.integer(1, 2))
      .set("V", 8 * random.integer(2, 10))
      .set("ranks", Index{1} << random.integer(0, 3));
}

std::vector<Parameters> shrink_training(const Parameters& p) {
  std::vector<Parameters> smaller;
  const std::pair<const char*, Index> least[] = {{"V", 16}, {"D", 8}, {"F", 16}, {"ranks", 1}};
  for (const auto& [name, value] : least) {
    if (p.has(name) && p.integer(name) > value) {
      smaller.push_back(Parameters(p).set(name, value));
    }
  }
  return smaller;
}

void check_training(const Parameters& p) {
  check_at_least(p, "ranks", 1);
  if (8 % p.integer("ranks") != 0) {
    throw InputError("ranks: expected 1, 2, 4 or 8, got " + p.word("ranks"));
  }
  check_trainer(training_settings(p, Rounding::exact()));
}

void add_parameters(const Config& config, bool split, Random random, Arrays& arrays) {
  std::uint64_t stream = 0;
  for (const ParameterInfo& info : stacked_table(config)) {
    const Random own = random.split(++stream);
    const bool read = info.name != "embed" || split;
    arrays[info.name] = read ? parameter_values(info, own) : Array(info.dtype, info.shape);
  }
}

ParameterSet<double> training_parameters(const TrainerSettings& settings, const Arrays& arrays) {
  ParameterSet<double> stacks;
  for (const ParameterInfo& info : stacked_table(settings.config)) {
    stacks.emplace(info.name, to_tensor(arrays.at(info.name)));
  }
  ParameterSet<double> parameters = unstacked(settings.config, stacks);
  // Padding that makes equal shards, which nobody reads.
  const Tensor<double>& scalars = stacks.at("scalars");
  const reference::ScalarLayout layout{settings.config.depth()};
  Tensor<double> padded({layout.padded(settings.ranks)});
  std::copy_n(scalars.data(), layout.used(), padded.data());
  parameters.at("scalars") = std::move(padded);
  return parameters;
}

Array training_text(const Config& config, Index count, Random random) {
  Array tokens(DType::uint16, {count});
  Index left = 0;
  for (Index i = 0; i < count; ++i) {
    const bool starts = left == 0;
    if (starts) left = random.integer(1, 20);
    tokens.set(i, static_cast<double>(starts ? config.bos : random.integer(0, config.bos - 1)));
    --left;
  }
  return tokens;
}

// Twice what is read, and as many documents again, since a sequence discards what it cuts.
Array training_text(const Config& config, Index first_step, Index steps, Random random) {
  Index tokens = 0;
  for (Index step = first_step; step < first_step + steps; ++step) {
    tokens += 2 * batch_tokens(step, config.schedule) + 40 * config.schedule.micro_batches;
  }
  return training_text(config, tokens, random);
}

reference::Tokens tokens_of(const Array& array) {
  return {array.as<std::uint16_t>(), array.as<std::uint16_t>() + array.size()};
}

std::vector<std::string> watched_parameters(const Config& config) {
  return {"qkvo.0",
          reference::c_fc_name(config.depth() / 2),
          reference::c_proj_name(config.depth() - 1),
          "lm_head",
          "embed",
          "value_embed.1",
          "scalars",
          "attn_gate_bank"};
}

std::vector<reference::PackedSequence> packed(
    const std::vector<reference::ScoredSequence>& sequences) {
  std::vector<reference::PackedSequence> packed;
  for (const auto& sequence : sequences) packed.push_back(sequence.packed);
  return packed;
}

Tensor<double> in_fp32(const std::vector<double>& values) {
  Tensor<double> tensor({static_cast<Index>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) {
    tensor[static_cast<Index>(i)] = round_to(DType::fp32, values[i]);
  }
  return tensor;
}

}  // namespace pairedhead
