#include "tools/targets/emulated_target.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <map>

#include "gpu/emulated/attention.h"
#include "gpu/emulated/movement.h"
#include "gpu/emulated/qk_prepare.h"
#include "gpu/emulated/yarn.h"
#include "tools/targets/case_layout.h"
#include "tools/targets/emulated_block.h"
#include "tools/targets/emulated_head.h"
#include "tools/targets/emulated_model.h"
#include "tools/targets/emulated_optimizer.h"
#include "tools/targets/emulated_training.h"
#include "tools/targets/emulated_trunk.h"

namespace pairedhead {
namespace {

using Bits = std::vector<std::uint16_t>;
using Run = void (*)(const Parameters&, const Arrays&, Arrays&);

const std::uint16_t* bits(const Arrays& arrays, const char* name) {
  return arrays.at(name).as<std::uint16_t>();
}
std::uint16_t* bits(Arrays& arrays, const char* name) {
  return arrays.at(name).as<std::uint16_t>();
}

int scalar(const Arrays& arrays, const char* name) {
  return static_cast<int>(arrays.at(name).at(0));
}

void attention(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const AttentionLayout layout = attention_layout(parameters, inputs);
  const Array& query = inputs.at("q");
  const Array& cu_seqlens = inputs.at("cu_seqlens");
  const gpu::emulated::AttentionProblem problem = {
      .tokens = static_cast<int>(layout.tokens),
      .rows_per_token = static_cast<int>(layout.rows_per_token),
      .slots = static_cast<int>(layout.slots),
      .head_dim = static_cast<int>(layout.head_dim),
      .window = static_cast<int>(layout.window),
      .softmax_scale = layout.softmax_scale,
      .cu_seqlens = cu_seqlens.as<std::int32_t>(),
      .entries = static_cast<int>(cu_seqlens.size()),
      .order_seed = XXH3_64bits(query.bytes.data(), query.bytes.size())};
  // A view serves inputs and outputs alike, so it is not const; those of inputs are only read.
  const auto view = [&](const std::uint16_t* data) {
    return gpu::emulated::HeadView{.data = const_cast<std::uint16_t*>(data),
                                   .stride_token = layout.stride_token,
                                   .stride_row = layout.stride_row,
                                   .stride_slot = layout.stride_slot};
  };
  const auto q = view(bits(inputs, "q")), k = view(bits(inputs, "k")), v = view(bits(inputs, "v"));
  const auto y = view(bits(outputs, "outputs/y"));
  float* const by_head = outputs.at("outputs/logsumexp").as<float>();
  std::vector<float> logsumexp = logsumexp_by_slot(layout, by_head);  // its poison
  attention_forward(problem, q, k, v, y, logsumexp.data());
  logsumexp_by_head(layout, logsumexp.data(), by_head);
  attention_backward(problem, q, k, v, y, logsumexp.data(), view(bits(inputs, "grad_y")),
                     view(bits(outputs, "grads/q")), view(bits(outputs, "grads/k")),
                     view(bits(outputs, "grads/v")));
}

gpu::emulated::QkPrepareProblem prepare_problem(const Shape& shape) {
  return {.tokens = static_cast<int>(shape.at(0)),
          .heads = static_cast<int>(shape.at(1)),
          .head_dim = static_cast<int>(shape.at(2)),
          .normalise = false,
          .paired = false,
          .shift_keys = false};
}

void qk_prepare(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  auto problem = prepare_problem(inputs.at("q").shape);
  problem.normalise = parameters.integer("normalise") != 0;
  problem.paired = parameters.integer("paired") != 0;
  problem.shift_keys = parameters.integer("shift") != 0;
  const auto* q = bits(inputs, "q");
  const auto* k = bits(inputs, "k");
  const auto* cosine = bits(inputs, "cosine");
  const auto* sine = bits(inputs, "sine");
  qk_prepare_forward(problem, q, k, cosine, sine, bits(outputs, "outputs/q_prepared"),
                     bits(outputs, "outputs/k_prepared"));
  qk_prepare_backward(problem, q, k, cosine, sine, bits(inputs, "grad_q_prepared"),
                      bits(inputs, "grad_k_prepared"), bits(outputs, "grads/q"),
                      bits(outputs, "grads/k"));
}

// One piece of the fused kernel: x goes through it as the key, beside a query that nobody reads.
void piece(gpu::emulated::QkPrepareProblem problem, const std::uint16_t* cosine,
           const std::uint16_t* sine, const char* input, const Arrays& inputs, Arrays& outputs) {
  const std::uint16_t* x = bits(inputs, input);
  const std::uint16_t* grad = bits(inputs, "grad_y");
  Bits unused(static_cast<std::size_t>(inputs.at(input).size()));
  qk_prepare_forward(problem, x, x, cosine, sine, unused.data(), bits(outputs, "outputs/y"));
  qk_prepare_backward(problem, x, x, cosine, sine, grad, grad, unused.data(),
                      outputs.at(std::string("grads/") + input).as<std::uint16_t>());
}

template <bool paired>
void rotary(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  auto problem = prepare_problem(inputs.at("x").shape);
  problem.paired = paired;
  piece(problem, bits(inputs, "cosine"), bits(inputs, "sine"), "x", inputs, outputs);
}

// The pieces that do not rotate: tables of ones and zeros.
void unrotated(gpu::emulated::QkPrepareProblem problem, const char* input, const Arrays& inputs,
               Arrays& outputs) {
  constexpr std::uint16_t one = 0x3f80;
  const auto table =
      static_cast<std::size_t>(problem.tokens) * static_cast<std::size_t>(problem.head_dim);
  piece(problem, Bits(table, one).data(), Bits(table, 0).data(), input, inputs, outputs);
}

void qk_norm(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  auto problem = prepare_problem(inputs.at("x").shape);
  problem.normalise = true;
  unrotated(problem, "x", inputs, outputs);
}

void key_shift(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  auto problem = prepare_problem(inputs.at("k").shape);
  problem.shift_keys = true;
  unrotated(problem, "k", inputs, outputs);
}

void rotary_table(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const Array& frequency = inputs.at("frequency");
  gpu::emulated::rotary_table(frequency.as<float>(), static_cast<int>(parameters.integer("T")),
                              static_cast<int>(frequency.size()), parameters.integer("paired") != 0,
                              bits(outputs, "outputs/cosine"), bits(outputs, "outputs/sine"));
}

void yarn_update(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  const Array& frequency = inputs.at("frequency");
  Array& updated = outputs.at("outputs/frequency");
  std::copy_n(frequency.as<float>(), frequency.size(), updated.as<float>());
  double* softmax_scale = outputs.at("outputs/softmax_scale").as<double>();
  *softmax_scale = *inputs.at("softmax_scale").as<double>();
  gpu::emulated::yarn_update(updated.as<float>(), static_cast<int>(frequency.size()), softmax_scale,
                             scalar(inputs, "old_blocks"), scalar(inputs, "new_blocks"),
                             scalar(inputs, "window_unit"));
}

// Both directions of the view; forward is one of them, its adjoint the other.
template <bool to_flat>
void movement(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const int tokens = static_cast<int>(parameters.integer("T"));
  const int heads = static_cast<int>(parameters.integer("H"));
  const int head_dim = static_cast<int>(parameters.integer("D"));
  const bool adjacent = parameters.word("pairing") == "adjacent";
  const gpu::emulated::PairedStrides strides = {
      .token = std::int64_t{heads} * head_dim,
      .row = adjacent ? head_dim : std::int64_t{heads / 2} * head_dim,
      .slot = adjacent ? 2 * head_dim : head_dim};
  gpu::emulated::interleave(bits(inputs, to_flat ? "x" : "grad_x"), tokens, heads, head_dim,
                            strides, bits(outputs, to_flat ? "outputs/flat" : "grads/flat"));
  gpu::emulated::deinterleave(bits(inputs, to_flat ? "grad_flat" : "flat"), tokens, heads, head_dim,
                              strides, bits(outputs, to_flat ? "grads/x" : "outputs/x"));
}

std::map<std::string, Run> all_runs() {
  std::map<std::string, Run> runs = {{"block", run_emulated_block},
                                     {"model", run_emulated_model},
                                     {"attention_paired", attention},
                                     {"attention_plain", attention},
                                     {"deinterleave", movement<false>},
                                     {"interleave", movement<true>},
                                     {"key_shift", key_shift},
                                     {"qk_norm", qk_norm},
                                     {"qk_prepare", qk_prepare},
                                     {"rotary_paired", rotary<true>},
                                     {"rotary_plain", rotary<false>},
                                     {"rotary_table", rotary_table},
                                     {"train_step", run_emulated_train_step},
                                     {"train_trajectory", run_emulated_trajectory},
                                     {"yarn_update", yarn_update}};
  runs.insert(emulated_trunk_runs().begin(), emulated_trunk_runs().end());
  runs.insert(emulated_head_runs().begin(), emulated_head_runs().end());
  runs.insert(emulated_optimizer_runs().begin(), emulated_optimizer_runs().end());
  return runs;
}

const std::map<std::string, Run>& runs() {
  static const std::map<std::string, Run> map = all_runs();
  return map;
}

}  // namespace

std::optional<std::string> EmulatedTarget::skips(const Component& component) const {
  if (runs().contains(component.name)) return std::nullopt;
  return "no GPU form";
}

void EmulatedTarget::run(const Component& component, const Parameters& parameters,
                         const Arrays& inputs, Arrays& outputs) {
  runs().at(component.name)(parameters, inputs, outputs);
}

}  // namespace pairedhead
