#include "gpu/adam_optimizer.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "gpu/error.h"

namespace pairedhead::gpu {
namespace {

constexpr double base_rate = 0.008, base_decay = 0.005;

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

AdamOptimizer::AdamOptimizer(const ParameterLayout& layout, Arena& arena) {
  for (const ParameterPlace& place : layout.places()) {
    if (place.info.optimizer != reference::Optimizer::adam) continue;
    if (moved_.empty()) first_ = place.offset;
    const Betas& row = betas_of(place.info.label);
    moved_.push_back({place, row.beta1, row.beta2, 0, place.info.name != "embed"});
  }
  bf16_count_ = layout.bf16_count() - first_;
  fp32_count_ = layout.fp32_count();
  for (GradientSums* buffers : {&first_moment_, &second_moment_, &pending_}) {
    *buffers = {arena.take<float>(bf16_count_), arena.take<float>(fp32_count_)};
  }
  factors_ = arena.take<AdamFactors>(static_cast<std::int64_t>(moved_.size()));
}

float* AdamOptimizer::place_in(const GradientSums& buffers, const ParameterPlace& place) const {
  return place.bf16() ? buffers.of_bf16 + (place.offset - first_) : buffers.of_fp32 + place.offset;
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
  copy(pending_.of_bf16, gradients.of_bf16 + first_, bf16_count_, stream);
  copy(pending_.of_fp32, gradients.of_fp32, fp32_count_, stream);
}

void AdamOptimizer::enqueue_update(const ParameterBuffers& parameters,
                                   const GradientSums& gradients, cudaStream_t stream) const {
  std::vector<AdamTensor> tensors;
  for (const Moved& one : moved_) {
    if (!one.split) continue;
    const ParameterPlace& place = one.place;
    void* const parameter = place.bf16() ? static_cast<void*>(parameters.matrix(place))
                                         : static_cast<void*>(parameters.vector(place));
    tensors.push_back(
        {.parameter = parameter,
         .bf16 = place.bf16(),
         .gradient = (place.bf16() ? gradients.of_bf16 : gradients.of_fp32) + place.offset,
         .earlier = place_in(pending_, place),
         .first_moment = place_in(first_moment_, place),
         .second_moment = place_in(second_moment_, place),
         .count = place.count});
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
  for (const GradientSums* moment : {&first_moment_, &second_moment_}) {
    copy(place_in(*moment, embed.place), place_in(*moment, head.place), head.place.count, stream);
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
  const auto add = [&](const std::string& name, const GradientSums& buffers, const Moved& one) {
    state.push_back({name, DType::fp32, one.place.info.shape, place_in(buffers, one.place)});
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
