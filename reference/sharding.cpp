#include "reference/sharding.h"

#include <algorithm>

namespace pairedhead::reference {
namespace {

constexpr Index replicated_below = 1024;  // elements

Index divide_up(Index a, Index b) { return (a + b - 1) / b; }

// The layer that a matrix's name ends with.
Index layer_of(const std::string& name) { return std::stoll(name.substr(name.find('.') + 1)); }

// Attention banks, then the MLPs layer by layer.
std::vector<const ParameterInfo*> matrices_in_order(const std::vector<ParameterInfo>& table) {
  std::vector<const ParameterInfo*> attention, mlp;
  for (const ParameterInfo& info : table) {
    if (info.optimizer != Optimizer::normuon) continue;
    (info.label == "attn" ? attention : mlp).push_back(&info);
  }
  std::stable_sort(mlp.begin(), mlp.end(), [](const auto* a, const auto* b) {
    return layer_of(a->name) < layer_of(b->name);
  });
  attention.insert(attention.end(), mlp.begin(), mlp.end());
  return attention;
}

// The rank that holds a matrix. With as many matrices as fill two rounds of two on every rank (the
// record on 8), attention and MLPs share the rounds; else each family is dealt out by itself.
Index matrix_owner(const std::vector<ParameterInfo>& table, const std::string& name, Index ranks) {
  const auto matrices = matrices_in_order(table);
  const auto count = static_cast<Index>(matrices.size());
  const auto attention = std::count_if(matrices.begin(), matrices.end(),
                                       [](const auto* info) { return info->label == "attn"; });
  const auto found = std::find_if(matrices.begin(), matrices.end(),
                                  [&](const auto* info) { return info->name == name; });
  const auto place = static_cast<Index>(found - matrices.begin());
  if (ranks == 8 && count == 4 * ranks) return place % (2 * ranks) / 2;
  return place < attention ? place / divide_up(attention, ranks)
                           : (place - attention) / divide_up(count - attention, ranks);
}

}  // namespace

std::vector<Owned> owners(const std::vector<ParameterInfo>& table, const ParameterInfo& parameter,
                          Index ranks) {
  const Index rows = parameter.shape[0];
  std::vector<Owned> owned(static_cast<std::size_t>(ranks), Owned{0, 0});
  if (parameter.optimizer == Optimizer::normuon) {
    owned[static_cast<std::size_t>(matrix_owner(table, parameter.name, ranks))] = {0, rows};
  } else if (element_count(parameter.shape) < replicated_below) {
    std::fill(owned.begin(), owned.end(), Owned{0, rows});
  } else {
    if (rows % ranks != 0) {
      throw InputError(parameter.name + ": expected rows that divide by " + std::to_string(ranks) +
                       " ranks, got " + std::to_string(rows));
    }
    for (Index rank = 0; rank < ranks; ++rank) {
      owned[static_cast<std::size_t>(rank)] = {rank * (rows / ranks), rows / ranks};
    }
  }
  return owned;
}

}  // namespace pairedhead::reference
