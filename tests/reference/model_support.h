#pragma once

#include <cmath>

#include "reference/model.h"
#include "tests/reference/support.h"

namespace pairedhead::testing {

// The record's layers in sizes that Dual and Float128 get through quickly.
inline reference::Config miniature() {
  reference::Config config = reference::config_named("tiny");
  config.name = "miniature";
  config.width = 48;
  config.head_dim = 8;
  config.hidden = 20;
  config.vocabulary = 30;
  config.bos = 29;
  return config;
}

// None of them zero, so that every path is open.
inline reference::ParameterSet<double> random_parameters(const reference::Config& config,
                                                         std::uint64_t seed) {
  const auto table = reference::parameter_table(config);
  reference::ParameterSet<double> set;
  Random random(seed);
  for (const reference::ParameterInfo& info : table) {
    Tensor<double> tensor = normal_tensor(info.shape, random);
    // Matrices keep the size of what they multiply; gates and lambdas are of order one.
    const bool matrix = info.optimizer == reference::Optimizer::normuon;
    const double size = matrix ? 1 / std::sqrt(static_cast<double>(config.width)) : 0.7;
    for (double& x : tensor.values()) x *= size;
    set.emplace(info.name, std::move(tensor));
  }
  return set;
}

inline reference::Batch random_batch(const reference::Config& config,
                                     const std::vector<Index>& cu_seqlens, std::uint64_t seed) {
  Random random(seed);
  reference::Batch batch;
  batch.cu_seqlens = cu_seqlens;
  const Index tokens = cu_seqlens.back();
  std::vector<Index> stream;
  for (Index t = 0; t <= tokens; ++t) stream.push_back(random.integer(0, config.vocabulary - 1));
  batch.inputs.assign(stream.begin(), stream.end() - 1);
  batch.targets.assign(stream.begin() + 1, stream.end());
  return batch;
}

inline reference::ModelSettings settings_of(const reference::Config& config) {
  reference::ModelSettings settings;
  settings.short_window = 3;
  settings.long_window = 6;
  settings.rotary = reference::yarn_update(reference::rotary_start(config.head_dim), 3, 7, 4);
  settings.loss.mtp_weights = {1, 0.5, 0.2};
  return settings;
}

template <class Scalar>
reference::ParameterSet<Scalar> cast_parameters(const reference::ParameterSet<double>& set) {
  reference::ParameterSet<Scalar> result;
  for (const auto& [name, tensor] : set) result.emplace(name, cast<Scalar>(tensor));
  return result;
}

// parameters + directions * epsilon
inline reference::ParameterSet<Dual> dual_parameters(
    const reference::ParameterSet<double>& parameters,
    const reference::ParameterSet<double>& directions) {
  reference::ParameterSet<Dual> result;
  for (const auto& [name, tensor] : parameters) {
    result.emplace(name, dual(tensor, directions.at(name)));
  }
  return result;
}

}  // namespace pairedhead::testing
