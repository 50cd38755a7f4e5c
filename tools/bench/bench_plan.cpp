#include "tools/bench/bench_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "reference/document_packer.h"
#include "tools/components/record_shapes.h"

namespace pairedhead {
namespace {

std::vector<Index> packed_documents(const std::string& shard, Index tokens) {
  reference::TrainingBatches batches({shard}, 50304, {});
  const auto sequences = batches.next(1, tokens);
  const auto& cu_seqlens = sequences.front().cu_seqlens;
  std::vector<Index> documents;
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    documents.push_back(cu_seqlens[i] - cu_seqlens[i - 1]);
  }
  return documents;
}

void add_attention(const std::string& shard, std::vector<BenchSetting>& plan) {
  for (const RecordShape& shape : record_shapes()) {
    plan.push_back({shape.component(), shape.name(),
                    record_parameters(shape, typical_documents(shape.tokens, 1)),
                    shape.peer_forward_ms, shape.peer_backward_ms});
  }
  if (shard.empty()) return;
  for (const RecordShape& shape : record_shapes()) {
    plan.push_back({shape.component(), shape.name() + ", real text",
                    record_parameters(shape, packed_documents(shard, shape.tokens)), std::nullopt,
                    std::nullopt});
  }
}

void add_qk_prepare(std::vector<BenchSetting>& plan) {
  for (const Index tokens : {16384, 32768, 49152}) {
    for (const char* layer : {"plain", "plain, shifted", "paired"}) {
      const bool paired = layer == std::string("paired");
      Parameters parameters = Parameters::parse("H=6 D=128 normalise=1 fill=normal");
      parameters.set("T", tokens)
          .set("paired", Index{paired})
          .set("shift", Index{layer == std::string("plain, shifted")});
      plan.push_back({"qk_prepare", fmt::format("T={} {}", tokens, layer), parameters, std::nullopt,
                      std::nullopt});
    }
  }
}

void add_rotary_table(std::vector<BenchSetting>& plan) {
  for (const int paired : {0, 1}) {
    Parameters parameters = Parameters::parse("T=49152 D=128 changes=0");
    plan.push_back({"rotary_table", paired ? "T=49152 paired" : "T=49152 plain",
                    parameters.set("paired", Index{paired}), std::nullopt, std::nullopt});
  }
}

// What the trunk launches once a layer or once a pass, in the first and the last phase.
void add_trunk(std::vector<BenchSetting>& plan) {
  struct Row {
    const char *component, *parameters;
  };
  constexpr Row rows[] = {
      {"embed_smear_norm", "C=768 V=50304 entry=1 tied=0 fill=normal"},
      {"value_embedding", "C=768 V=50304 fill=normal"},
      {"mix_norm", "C=768 gates=1 x_before=0 x0_before=1 fill=normal"},
      {"skip_mix_norm", "C=768 gates=0 x_before=0 x0_before=1 fill=normal"},
      {"rms_norm", "C=768 residual=1 fill=normal"},
      {"backout_norm", "C=768 fill=normal"},
  };
  for (const Row& row : rows) {
    for (const Index tokens : {16384, 49152}) {
      plan.push_back({row.component, fmt::format("T={}", tokens),
                      Parameters::parse(row.parameters).set("T", tokens), std::nullopt,
                      std::nullopt});
    }
  }
}

// The products of a layer and its gates, in the first and the last phase. The peer's figures are
// cuBLAS's for the product alone, forward (H100 80GB HBM3, measured 2026-11).
void add_layer(std::vector<BenchSetting>& plan) {
  struct Row {
    const char *component, *name, *parameters;
    std::optional<double> peer_short_ms = {}, peer_long_ms = {};
  };
  const Row rows[] = {
      {"lambda_linear", " qkv", "K=768 N=2304 fill=normal", 0.105, 0.249},
      {"lambda_linear", " o", "K=768 N=768 fill=normal", 0.041, 0.090},
      {"linear", " fc", "K=768 N=3072 fill=normal", 0.135, 0.327},
      {"linear", " proj", "K=3072 N=768 fill=normal", 0.118, 0.310},
      {"mlp", "", "C=768 F=3072 fill=normal weights=normal"},
      {"value_mix", "", "H=6 D=128 fill=normal"},
      {"output_gate", "", "H=6 D=128 fill=normal"},
  };
  for (const Row& row : rows) {
    for (const Index tokens : {16384, 49152}) {
      plan.push_back({row.component, fmt::format("T={}{}", tokens, row.name),
                      Parameters::parse(row.parameters).set("T", tokens),
                      tokens == 16384 ? row.peer_short_ms : row.peer_long_ms, std::nullopt});
    }
  }
}

// Both optimizers over the record's parameters: attention's 40 matrices and the MLPs' 22, all of
// them element by element, and one of the five tables that are Adam's.
void add_optimizers(std::vector<BenchSetting>& plan) {
  struct Row {
    const char *component, *setting, *parameters;
    std::optional<double> peer_ms;
  };
  const Row rows[] = {
      {"momentum", "75.5M elements", "n=75497472 fill=normal", std::nullopt},
      {"polar_express", "(40, 768, 768)", "rows=768 columns=768 fused=1 matrices=40", 1.42},
      {"polar_express", "(22, 3072, 768)", "rows=3072 columns=768 fused=0 matrices=22", 2.37},
      {"variance_reduction", "(40, 768, 768)", "rows=768 columns=768 start=0 matrices=40",
       std::nullopt},
      {"variance_reduction", "(22, 3072, 768)", "rows=3072 columns=768 start=0 matrices=22",
       std::nullopt},
      {"cautious_split_update", "75.5M elements", "n=75497472 fill=normal", std::nullopt},
      {"adam_step", "38.6M elements", "n=38633472 fill=normal label=value_embed updates=579",
       std::nullopt},
  };
  for (const Row& row : rows) {
    plan.push_back(
        {row.component, row.setting, Parameters::parse(row.parameters), row.peer_ms, std::nullopt});
  }
}

// Head and loss, which gpu_head_measure takes apart; the peer's figure is of both directions.
void add_head(std::vector<BenchSetting>& plan) {
  for (const Index tokens : {16384, 32768, 49152}) {
    plan.push_back({"head_fp8", fmt::format("T={}", tokens),
                    Parameters::parse("C=768 V=50304 validation=0 fill=normal").set("T", tokens),
                    tokens == 49152 ? std::optional(20.7) : std::nullopt, std::nullopt});
  }
}

}  // namespace

std::vector<BenchSetting> bench_plan(const std::vector<std::string>& components,
                                     const std::string& shard) {
  std::vector<BenchSetting> plan;
  add_attention(shard, plan);
  add_qk_prepare(plan);
  add_rotary_table(plan);
  add_trunk(plan);
  add_layer(plan);
  add_optimizers(plan);
  add_head(plan);
  std::vector<std::string> timed;
  for (const BenchSetting& setting : plan) {
    if (timed.empty() || timed.back() != setting.component) timed.push_back(setting.component);
  }
  for (const std::string& name : components) {
    component_named(name);
    if (std::count(timed.begin(), timed.end(), name) > 0) continue;
    throw InputError(fmt::format("--component: expected one of {}, which are timed, got \"{}\"",
                                 fmt::join(timed, ", "), name));
  }
  if (components.empty()) return plan;
  std::vector<BenchSetting> chosen;
  for (const BenchSetting& setting : plan) {
    if (std::count(components.begin(), components.end(), setting.component) > 0) {
      chosen.push_back(setting);
    }
  }
  return chosen;
}

}  // namespace pairedhead
