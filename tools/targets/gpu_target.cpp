#include "tools/targets/gpu_target.h"

#include <set>

#include "gpu/kernels/attention.h"
#include "gpu/kernels/qk_prepare.h"
#include "tools/targets/case_layout.h"

namespace pairedhead {

GpuTarget::GpuTarget() : device_(gpu::require_device()) {}

std::optional<std::string> GpuTarget::skips(const Component& component) const {
  static const std::set<std::string> kernels = {"attention_paired", "attention_plain", "qk_prepare",
                                                "rotary_table"};
  if (kernels.count(component.name) > 0) return std::nullopt;
  if (component.fused_into.empty()) return "no kernel";
  return "fused into " + component.fused_into;
}

gpu::GuardedBuffer& GpuTarget::buffer(const std::string& name) {
  return buffers_.try_emplace(name, name).first->second;
}

GpuTarget::Launches GpuTarget::prepare(const Component& component, const Parameters& parameters,
                                       const Arrays& inputs, const Arrays& outputs) {
  in_use_.clear();
  for (const Arrays* arrays : {&inputs, &outputs}) {
    for (const auto& [name, array] : *arrays) {
      buffer(name).reset(array.bytes.data(), array.bytes.size(), stream_);
      in_use_.push_back(name);
    }
  }
  Launches launches = component.name == "qk_prepare" ? prepare_qk(parameters, inputs)
                      : component.name == "rotary_table"
                          ? prepare_table(parameters, inputs)
                          : prepare_attention(parameters, inputs, outputs);
  stream_.synchronize();
  return launches;
}

GpuTarget::Launches GpuTarget::prepare_attention(const Parameters& parameters, const Arrays& inputs,
                                                 const Arrays& outputs) {
  const AttentionLayout layout = attention_layout(parameters, inputs);
  const gpu::AttentionProblem problem = {
      .tokens = static_cast<int>(layout.tokens),
      .rows_per_token = static_cast<int>(layout.rows_per_token),
      .slots = static_cast<int>(layout.slots),
      .head_dim = static_cast<int>(layout.head_dim),
      .window = static_cast<int>(layout.window),
      .softmax_scale = layout.softmax_scale,
      .cu_seqlens = buffer("cu_seqlens").as<std::int32_t>(),
      .entries = static_cast<int>(inputs.at("cu_seqlens").size())};
  const auto by_slot =
      logsumexp_by_slot(layout, outputs.at("outputs/logsumexp").as<float>());  // its poison
  buffer("outputs/logsumexp").reset(by_slot.data(), by_slot.size() * sizeof(float), stream_);
  buffer("workspace").reset(gpu::attention_workspace_bytes(problem), stream_);
  in_use_.push_back("workspace");
  stream_.synchronize();  // by_slot has been copied

  const auto view = [&](const char* name) {
    return gpu::HeadView{.data = buffer(name).as<__nv_bfloat16>(),
                         .stride_token = layout.stride_token,
                         .stride_row = layout.stride_row,
                         .stride_slot = layout.stride_slot};
  };
  const auto q = view("q"), k = view("k"), v = view("v"), y = view("outputs/y");
  const auto grad_y = view("grad_y");
  const auto grad_q = view("grads/q"), grad_k = view("grads/k"), grad_v = view("grads/v");
  float* const logsumexp = buffer("outputs/logsumexp").as<float>();
  void* const workspace = buffer("workspace").data();
  return {.forward =
              [=](cudaStream_t stream) {
                attention_forward(problem, q, k, v, y, logsumexp, workspace, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                attention_backward(problem, q, k, v, y, logsumexp, grad_y, grad_q, grad_k, grad_v,
                                   workspace, stream);
              }};
}

GpuTarget::Launches GpuTarget::prepare_qk(const Parameters& parameters, const Arrays& inputs) {
  const Shape& shape = inputs.at("q").shape;
  const gpu::QkPrepareProblem problem = {.tokens = static_cast<int>(shape.at(0)),
                                         .heads = static_cast<int>(shape.at(1)),
                                         .head_dim = static_cast<int>(shape.at(2)),
                                         .normalise = parameters.integer("normalise") != 0,
                                         .paired = parameters.integer("paired") != 0,
                                         .shift_keys = parameters.integer("shift") != 0,
                                         .stride_token_in = shape.at(1) * shape.at(2)};
  const auto bf16 = [&](const char* name) { return buffer(name).as<__nv_bfloat16>(); };
  const auto q = bf16("q"), k = bf16("k"), cosine = bf16("cosine"), sine = bf16("sine");
  const auto q_prepared = bf16("outputs/q_prepared"), k_prepared = bf16("outputs/k_prepared");
  const auto grad_q_prepared = bf16("grad_q_prepared"), grad_k_prepared = bf16("grad_k_prepared");
  const auto grad_q = bf16("grads/q"), grad_k = bf16("grads/k");
  return {.forward =
              [=](cudaStream_t stream) {
                qk_prepare_forward(problem, q, k, cosine, sine, q_prepared, k_prepared, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                qk_prepare_backward(problem, q, k, cosine, sine, grad_q_prepared, grad_k_prepared,
                                    grad_q, grad_k, stream);
              }};
}

GpuTarget::Launches GpuTarget::prepare_table(const Parameters& parameters, const Arrays& inputs) {
  const int tokens = static_cast<int>(parameters.integer("T"));
  const int head_dim = static_cast<int>(inputs.at("frequency").size());
  const bool paired = parameters.integer("paired") != 0;
  const float* frequency = buffer("frequency").as<float>();
  const auto cosine = buffer("outputs/cosine").as<__nv_bfloat16>();
  const auto sine = buffer("outputs/sine").as<__nv_bfloat16>();
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::rotary_table(frequency, tokens, head_dim, paired, cosine, sine, stream);
              },
          .backward = {}};
}

void GpuTarget::check_untouched(const Arrays& inputs) {
  for (const std::string& name : in_use_) {
    if (const auto damage = buffer(name).damage(stream_)) throw GuardError("gpu: " + *damage);
  }
  for (const auto& [name, array] : inputs) {
    std::vector<std::byte> bytes(array.bytes.size());
    buffer(name).download(bytes.data(), stream_);
    if (bytes != array.bytes) throw GuardError("gpu: input " + name + " was changed");
  }
}

void GpuTarget::run(const Component& component, const Parameters& parameters, const Arrays& inputs,
                    Arrays& outputs) {
  const Launches launches = prepare(component, parameters, inputs, outputs);
  launches.forward(stream_);
  if (launches.backward) launches.backward(stream_);
  stream_.synchronize();
  check_untouched(inputs);
  collect(parameters, inputs, outputs);
}

void GpuTarget::collect(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  stream_.synchronize();
  for (auto& [name, array] : outputs) {
    if (name != "outputs/logsumexp") {
      buffer(name).download(array.bytes.data(), stream_);
      continue;
    }
    std::vector<float> by_slot(static_cast<std::size_t>(array.size()));
    buffer(name).download(by_slot.data(), stream_);
    logsumexp_by_head(attention_layout(parameters, inputs), by_slot.data(), array.as<float>());
  }
}

}  // namespace pairedhead
