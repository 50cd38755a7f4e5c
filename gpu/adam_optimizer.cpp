#include "gpu/adam_optimizer.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "gpu/error.h"

namespace pairedhead::gpu {
namespace {

constexpr double base_rate = 0.008, base_decay = 0.005;
constexpr std::int64_t unit = 8;  // elements: what is kept of a parameter begins at a multiple

// SPEC §6.3.
struct Betas {
  std::string_view label;
  double beta1, beta2;
};
constexpr std::array<Betas, 9> betas = {{{"lm_head", 0.5, 0.95},
                                         {"embed", 0.5, 0.95},
                                         {"value_embed", 0.75, 0.95},
                                         {"smear_gate", 0.9, 0.99},
                                         {"skip_gate", 0.9, 0.99},
                                         {"attn_gate_bank", 0.9, 0.99},
                                         {"ve_gate_bank", 0.9, 0.99},
                                         {"x0_lambdas", 0.65, 0.95},
                                         {"scalars", 0.9, 0.99}}};

const Betas& betas_of(const std::string& label) {
  const auto found = std::find_if(betas.begin(), betas.end(),
                                  [&](const Betas& row) { return row.label == label; });
  if (found == betas.end()) throw std::out_of_range("AdamOptimizer: no betas of " + label);
  return *found;
}

void copy(float* to, const float* from, std::int64_t count, cudaStream_t stream) {
  CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(float),
                             cudaMemcpyDeviceToDevice, stream));
}

}  // namespace

AdamOptimizer::AdamOptimizer(const ParameterLayout& layout, const Ownership& ownership, int rank,
                             Arena& arena) {
  std::int64_t end = 0;
  for (const ParameterPlace& place : layout.places()) {
    if (place.info.optimizer != reference::Optimizer::adam) continue;
    const Betas& row = betas_of(place.info.label);
    const std::vector<reference::Owned>& rows = ownership.rows(place.info.name);
    const reference::Owned mine = rows[static_cast<std::size_t>(rank)];
    const std::int64_t elements = place.count / place.info.shape[0];  // of a row
    moved_.push_back({.place = place,
                      .rows = rows,
                      .first = place.offset + mine.first_row * elements,
                      .count = mine.rows * elements,
                      .kept = end,
                      .beta1 = row.beta1,
                      .beta2 = row.beta2,
                      .updates = 0,
                      .split = place.info.name != "embed"});
    end += (moved_.back().count + unit - 1) / unit * unit;
  }
  for (float** buffer : {&first_moment_, &second_moment_, &pending_}) {
    *buffer = arena.take<float>(end);
  }
  factors_ = arena.take<AdamFactors>(static_cast<std::int64_t>(moved_.size()));
}

const float* AdamOptimizer::gradient(const GradientSums& gradients, const Moved& one) {
  return (one.place.bf16() ? gradients.of_bf16 : gradients.of_fp32) + one.first;
}

AdamOptimizer::Moved& AdamOptimizer::moved(const std::string& name) {
  return *std::find_if(moved_.begin(), moved_.end(),
                       [&](const Moved& one) { return one.place.info.name == name; });
}

void AdamOptimizer::prepare(double learning_rate, cudaStream_t stream) {
  std::vector<AdamFactors> factors;
  for (const Moved& one : moved_) {
    if (!one.split) continue;
    const reference::ParameterInfo& info = one.place.info;
    factors.push_back(adam_factors(one.beta1, one.beta2, base_rate * learning_rate * info.lr_mul,
                                   base_decay * info.wd_mul, one.updates + 1));
  }
  CUDA_CHECK(cudaMemcpyAsync(factors_, factors.data(), factors.size() * sizeof(AdamFactors),
                             cudaMemcpyHostToDevice, stream));
}

void AdamOptimizer::enqueue_keep(const GradientSums& gradients, cudaStream_t stream) const {
  for (const Moved& one : moved_) {
    if (one.split) copy(pending_ + one.kept, gradient(gradients, one), one.count, stream);
  }
}

void AdamOptimizer::enqueue_update(const ParameterBuffers& parameters,
                                   const GradientSums& gradients, cudaStream_t stream) const {
  std::vector<AdamTensor> tensors;
  for (const Moved& one : moved_) {
    if (!one.split) continue;
    const bool bf16 = one.place.bf16();
    tensors.push_back({.parameter = bf16 ? static_cast<void*>(parameters.bf16 + one.first)
                                         : static_cast<void*>(parameters.fp32 + one.first),
                       .bf16 = bf16,
                       .gradient = gradient(gradients, one),
                       .earlier = pending_ + one.kept,
                       .first_moment = first_moment_ + one.kept,
                       .second_moment = second_moment_ + one.kept,
                       .count = one.count});
  }
  adam_update(tensors, factors_, stream);
}

void AdamOptimizer::count_update() {
  for (Moved& one : moved_) {
    if (one.split) ++one.updates;
  }
}

void AdamOptimizer::split_embedding(const ParameterBuffers& parameters, cudaStream_t stream) {
  const Moved& head = moved("lm_head");
  Moved& embed = moved("embed");
  CUDA_CHECK(cudaMemcpyAsync(parameters.matrix(embed.place), parameters.matrix(head.place),
                             static_cast<std::size_t>(head.place.count) * sizeof(__nv_bfloat16),
                             cudaMemcpyDeviceToDevice, stream));
  for (float* const moment : {first_moment_, second_moment_}) {
    copy(moment + embed.kept, moment + head.kept, head.count, stream);
  }
  embed.updates = head.updates;
  embed.split = true;
}

std::map<std::string, Index> AdamOptimizer::updates() const {
  std::map<std::string, Index> updates;
  for (const Moved& one : moved_) {
    if (one.updates > 0) updates[one.place.info.name] = one.updates;
  }
  return updates;
}

void AdamOptimizer::resume(const std::map<std::string, Index>& updates) {
  for (Moved& one : moved_) {
    const auto found = updates.find(one.place.info.name);
    one.updates = found == updates.end() ? 0 : found->second;
    one.split = one.updates > 0 || one.place.info.name != "embed";
  }
}

std::vector<StateTensor> AdamOptimizer::state() const {
  std::vector<StateTensor> state;
  const auto add = [&](const std::string& name, float* buffer, const Moved& one) {
    state.push_back({name, DType::fp32, one.place.info.shape, buffer + one.kept, one.rows});
  };
  for (const Moved& one : moved_) {
    const std::string& name = one.place.info.name;
    add("adam/" + name + "/first", first_moment_, one);
    add("adam/" + name + "/second", second_moment_, one);
  }
  for (const Moved& one : moved_) add("pending/" + one.place.info.name, pending_, one);
  return state;
}

}  // namespace pairedhead::gpu
