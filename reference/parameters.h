#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "reference/config.h"
#include "reference/dtype.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

enum class Optimizer { normuon, adam };

// One row of SPEC §2's table.
struct ParameterInfo {
  std::string name;  // "qkvo.3", "c_fc.0", "c_proj.0", "value_embed.2", "lm_head", "scalars", ...
  Shape shape;
  DType dtype;        // bf16, or fp32 for the two vectors of lambdas
  std::string label;  // what shares its rates: "attn", "mlp", "lm_head", ...
  Optimizer optimizer;
  double lr_mul, wd_mul;
};

// Names of the parameters that a layer owns.
std::string qkvo_name(Index layer);         // [4C, C], layers with attention only
std::string c_fc_name(Index layer);         // [F, C]
std::string c_proj_name(Index layer);       // [F, C], hidden x out
std::string value_embed_name(Index table);  // [V, C]

// SPEC §2 for any configuration, in its order, layers ascending within a row. `ranks`: the world
// size W, which pads `scalars` (SPEC §2.1). Throws InputError on ranks < 1 and what check_config
// refuses.
std::vector<ParameterInfo> parameter_table(const Config& config, Index ranks = 1);

// Where the entries of `scalars` are (SPEC §2.1).
struct ScalarLayout {
  Index depth;                                                              // L
  Index residual(Index layer) const { return layer; }                       // rho
  Index attention_in(Index layer) const { return depth + 2 * layer; }       // alpha
  Index attention_out(Index layer) const { return depth + 2 * layer + 1; }  // omega
  Index smear() const { return 3 * depth; }
  Index backout() const { return 3 * depth + 1; }
  Index skip() const { return 3 * depth + 2; }
  Index used() const { return 3 * depth + 3; }
  Index padded(Index ranks) const { return (used() + ranks - 1) / ranks * ranks; }
};

// Parameters, or their gradients, by name.
template <class Scalar>
using ParameterSet = std::map<std::string, Tensor<Scalar>>;

// The initial values of SPEC §2, each exactly representable in its dtype. Uniform draws are
// ordinary ones rounded to bf16, which SPEC accepts. `embed` starts as zero: it is overwritten
// before it is read. A seed gives the same values on every machine.
ParameterSet<double> initial_parameters(const Config& config, std::uint64_t seed, Index ranks = 1);

// Zeros in the shapes of the table.
template <class Scalar>
ParameterSet<Scalar> zero_parameters(const std::vector<ParameterInfo>& table) {
  ParameterSet<Scalar> set;
  for (const ParameterInfo& info : table) set.emplace(info.name, Tensor<Scalar>(info.shape));
  return set;
}

// Throws InputError naming the parameter unless `set` holds every parameter of the table in its
// shape, and nothing else. `what` says whose parameters they are.
template <class Scalar>
void check_parameters(const char* what, const ParameterSet<Scalar>& set,
                      const std::vector<ParameterInfo>& table) {
  for (const ParameterInfo& info : table) {
    const auto found = set.find(info.name);
    if (found == set.end()) {
      throw InputError(std::string(what) + ": expected a parameter " + info.name + ", got none");
    }
    require_shape((std::string(what) + ": " + info.name).c_str(), found->second, info.shape);
  }
  if (set.size() != table.size()) {
    throw InputError(std::string(what) + ": expected " + std::to_string(table.size()) +
                     " parameters, got " + std::to_string(set.size()));
  }
}

}  // namespace pairedhead::reference
