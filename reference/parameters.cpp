#include "reference/parameters.h"

#include <algorithm>
#include <cmath>

#include "reference/gate.h"
#include "reference/random.h"
#include "reference/side_by_side.h"

namespace pairedhead::reference {
namespace {

// In [-bound, bound): what rounds out of it is drawn again.
void fill_uniform(double* values, Index count, double bound, Random& random) {
  for (Index i = 0; i < count; ++i) {
    do {
      values[i] = round_to(DType::bf16, bound * (2 * random.uniform01() - 1));
    } while (values[i] < -bound || values[i] >= bound);
  }
}

// Every element takes equally many draws, so each piece knows where in the sequence it begins.
void fill_normal(Tensor<double>& tensor, double deviation, const Random& random) {
  constexpr Index piece = 1 << 16;
#pragma omp parallel for schedule(dynamic)
  for (Index first = 0; first < tensor.size(); first += piece) {
    Random own = random.after(static_cast<std::uint64_t>(first) * Random::draws_of_normal);
    for (Index i = first; i < std::min(first + piece, tensor.size()); ++i) {
      tensor[i] = round_to(DType::bf16, round_to(DType::fp32, deviation * own.normal()));
    }
  }
}

// SPEC §2.1.
void fill_scalars(Tensor<double>& scalars, const ScalarLayout& at) {
  for (Index layer = 0; layer < at.depth; ++layer) {
    scalars[at.residual(layer)] = round_to(DType::fp32, 1.1);
    scalars[at.attention_in(layer)] = 0.5;
    scalars[at.attention_out(layer)] = 1;
  }
  scalars[at.backout()] = 0.5;
  scalars[at.skip()] = -1.5;
  for (Index i = at.used(); i < scalars.size(); ++i) scalars[i] = 1;
}

}  // namespace

std::string qkvo_name(Index layer) { return "qkvo." + std::to_string(layer); }
std::string c_fc_name(Index layer) { return "c_fc." + std::to_string(layer); }
std::string c_proj_name(Index layer) { return "c_proj." + std::to_string(layer); }
std::string value_embed_name(Index table) { return "value_embed." + std::to_string(table); }

std::vector<ParameterInfo> parameter_table(const Config& config, Index ranks) {
  check_config(config);
  if (ranks < 1) throw InputError("ranks: expected at least 1, got " + std::to_string(ranks));
  const Index c = config.width;
  const Shape embedding = {config.vocabulary, c};
  std::vector<ParameterInfo> table;
  const auto muon = [&](std::string name, Shape shape, const char* label, double lr_mul) {
    table.push_back(
        {std::move(name), std::move(shape), DType::bf16, label, Optimizer::normuon, lr_mul, 1});
  };
  const auto adam = [&](std::string name, Shape shape, const char* label, double lr_mul,
                        double wd_mul, DType dtype = DType::bf16) {
    table.push_back(
        {std::move(name), std::move(shape), dtype, label, Optimizer::adam, lr_mul, wd_mul});
  };
  for (Index layer = 0; layer < config.depth(); ++layer) {
    if (config.layers[static_cast<std::size_t>(layer)].attention) {
      muon(qkvo_name(layer), {4 * c, c}, "attn", 1);
    }
  }
  for (Index layer = 0; layer < config.depth(); ++layer) {
    muon(c_fc_name(layer), {config.hidden, c}, "mlp", 1);
  }
  for (Index layer = 0; layer < config.depth(); ++layer) {
    muon(c_proj_name(layer), {config.hidden, c}, "mlp", 2);
  }
  adam("lm_head", embedding, "lm_head", 1, 150);
  adam("embed", embedding, "embed", 1, 150);
  for (Index i = 0; i < config.value_embeddings; ++i) {
    adam(value_embed_name(i), embedding, "value_embed", 75, 5);
  }
  adam("smear_gate", {1, gate_channels}, "smear_gate", 0.01, 0);
  adam("skip_gate", {1, gate_channels}, "skip_gate", 0.05, 0);
  adam("attn_gate_bank", {config.attention_layers(), config.heads, gate_channels}, "attn_gate_bank",
       1, 1);
  adam("ve_gate_bank", {config.value_gated_layers(), config.heads, gate_channels}, "ve_gate_bank",
       1, 1);
  adam("x0_lambdas", {config.depth()}, "x0_lambdas", 5, 0, DType::fp32);
  adam("scalars", {ScalarLayout{config.depth()}.padded(ranks)}, "scalars", 5, 0, DType::fp32);
  return table;
}

ParameterSet<double> initial_parameters(const Config& config, std::uint64_t seed, Index ranks) {
  const std::vector<ParameterInfo> table = parameter_table(config, ranks);
  ParameterSet<double> set;
  for (const ParameterInfo& info : table) set[info.name] = {};
  const Index c = config.width;
  const double bound = std::sqrt(3.0 / static_cast<double>(c));
  const auto fill = [&](Index number) {
    const auto i = static_cast<std::size_t>(number);
    Tensor<double>& tensor = set.at(table[i].name);
    tensor = Tensor<double>(table[i].shape);
    Random random = Random(seed).split(i + 1);
    if (table[i].label == "attn") fill_uniform(tensor.data(), 3 * c * c, bound, random);
    if (table[i].name.starts_with("c_fc.")) {
      fill_uniform(tensor.data(), tensor.size(), bound / 2, random);
    }
    if (table[i].label == "lm_head") fill_normal(tensor, 0.005, random);
    if (table[i].label == "scalars") fill_scalars(tensor, ScalarLayout{config.depth()});
  };
  // The table of normal draws takes longer than all others together, and all threads by itself.
  const auto of_head = [](const ParameterInfo& info) { return info.label == "lm_head"; };
  const auto head = std::find_if(table.begin(), table.end(), of_head) - table.begin();
  side_by_side(static_cast<Index>(table.size()), true, [&](Index i) {
    if (i != head) fill(i);
  });
  fill(head);
  return set;
}

}  // namespace pairedhead::reference
