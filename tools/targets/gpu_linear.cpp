#include <algorithm>

#include "gpu/emulated/bf16.h"
#include "gpu/kernels/gate.h"
#include "gpu/kernels/gates.h"
#include "gpu/kernels/linear.h"
#include "gpu/kernels/mlp.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

GpuLaunches linear(GpuCase& c) {
  gpu::LinearAlgebra& algebra = c.algebra();
  const int tokens = c.extent("T"), inputs = c.extent("K"), outputs = c.extent("N");
  const auto x = c.bf16("x"), w = c.bf16("w"), y = c.bf16("outputs/y");
  const auto grad_y = c.bf16("grad_y"), grad_x = c.bf16("grads/x"), grad_w = c.bf16("grads/w");
  return {.forward =
              [=, &algebra](cudaStream_t stream) {
                linear_forward(algebra, tokens, inputs, outputs, x, w, nullptr, y, stream);
              },
          .backward =
              [=, &algebra](cudaStream_t stream) {
                linear_backward(algebra, tokens, inputs, outputs, x, w, grad_y, grad_x, grad_w,
                                stream);
              }};
}

GpuLaunches lambda_linear(GpuCase& c) {
  gpu::LinearAlgebra& algebra = c.algebra();
  const int tokens = c.extent("T"), inputs = c.extent("K"), outputs = c.extent("N");
  const std::int64_t count = c.inputs().at("w").size();
  const auto a = c.bf16("a"), w = c.bf16("w"), u = c.bf16("outputs/u"), grad_u = c.bf16("grad_u");
  const auto grad_a = c.bf16("grads/a"), grad_w = c.bf16("grads/w");
  const float* const lambda = c.fp32("lambda");
  float* const grad_lambda = c.fp32("grads/lambda");
  auto* const scaled = static_cast<__nv_bfloat16*>(c.scratch("scaled", 2 * count));
  void* const workspace = c.scratch("workspace", gpu::reduction_workspace_bytes());
  return {.forward =
              [=, &algebra](cudaStream_t stream) {
                gpu::scale_weight(w, lambda, count, scaled, stream);
                linear_forward(algebra, tokens, inputs, outputs, a, scaled, nullptr, u, stream);
              },
          .backward =
              [=, &algebra](cudaStream_t stream) {
                linear_backward(algebra, tokens, inputs, outputs, a, scaled, grad_u, grad_a, grad_w,
                                stream);
                gpu::scale_weight_backward(w, lambda, count, grad_w, grad_lambda, workspace,
                                           stream);
              }};
}

GpuLaunches mlp(GpuCase& c) {
  gpu::LinearAlgebra& algebra = c.algebra();
  const gpu::MlpShape shape = {c.extent("T"), c.extent("C"), c.extent("F")};
  const auto hidden = [&](const char* name) {
    const auto bytes = static_cast<std::size_t>(2 * shape.tokens * shape.hidden);
    return static_cast<__nv_bfloat16*>(c.scratch(name, bytes));
  };
  const auto positive = hidden("positive"), squared = hidden("squared");
  const auto hidden_gradient = hidden("hidden_gradient");
  const auto a = c.bf16("a"), c_fc = c.bf16("c_fc"), c_proj = c.bf16("c_proj");
  const auto out = c.bf16("outputs/out"), grad_out = c.bf16("grad_out");
  const auto grad_a = c.bf16("grads/a"), grad_c_fc = c.bf16("grads/c_fc");
  const auto grad_c_proj = c.bf16("grads/c_proj");
  return {.forward =
              [=, &algebra](cudaStream_t stream) {
                mlp_forward(algebra, shape, a, c_fc, c_proj, nullptr, out, positive, squared,
                            stream);
              },
          .backward =
              [=, &algebra](cudaStream_t stream) {
                mlp_backward(algebra, shape, a, c_fc, c_proj, grad_out, positive, squared,
                             hidden_gradient, grad_a, grad_c_fc, grad_c_proj, stream);
              }};
}

gpu::GateShape gate_shape(const GpuCase& c) {
  const int heads = c.extent("H"), head_dim = c.extent("D");
  return {c.extent("T"), heads, head_dim, heads * head_dim};
}

// What the gates give to the gradient of a is fp32 [T, 12], to be added by the norm's backward; the
// table's is the whole row in bf16.
void convert_gate_gradient(GpuCase& c, const gpu::GateShape& shape) {
  constexpr std::size_t channels = gpu::gate_channels;
  const auto tokens = static_cast<std::size_t>(shape.tokens);
  const auto width = static_cast<std::size_t>(shape.width);
  c.convert(
      "grads/a", tokens * channels * sizeof(float),
      [=](const std::byte* from, std::byte* to) {
        const auto* bits = reinterpret_cast<const std::uint16_t*>(from);
        auto* values = reinterpret_cast<float*>(to);
        for (std::size_t i = 0; i < tokens * channels; ++i) {
          values[i] = gpu::emulated::from_bf16(bits[i / channels * width + i % channels]);
        }
      },
      [=](const std::byte* from, std::byte* to) {
        const auto* values = reinterpret_cast<const float*>(from);
        auto* bits = reinterpret_cast<std::uint16_t*>(to);
        std::fill_n(bits, tokens * width, std::uint16_t{0});
        for (std::size_t i = 0; i < tokens * channels; ++i) {
          bits[i / channels * width + i % channels] = gpu::emulated::to_bf16(values[i]);
        }
      });
}

GpuLaunches output_gate(GpuCase& c) {
  const gpu::GateShape shape = gate_shape(c);
  convert_gate_gradient(c, shape);
  void* const workspace = c.scratch("workspace", gpu::gate_workspace_bytes(shape));
  const auto y = c.bf16("y"), a = c.bf16("a"), w = c.bf16("w"), gated = c.bf16("outputs/gated");
  const auto grad_gated = c.bf16("grad_gated"), grad_y = c.bf16("grads/y");
  const auto grad_w = c.bf16("grads/w");
  float* const grad_a = c.fp32("grads/a");
  return {.forward =
              [=](cudaStream_t stream) { gpu::output_gate_forward(shape, y, a, w, gated, stream); },
          .backward =
              [=](cudaStream_t stream) {
                gpu::output_gate_backward(shape, grad_gated, y, a, w, grad_y, grad_w, grad_a, false,
                                          workspace, stream);
              }};
}

GpuLaunches value_mix(GpuCase& c) {
  const gpu::GateShape shape = gate_shape(c);
  convert_gate_gradient(c, shape);
  // The gradient of v is grad_mixed itself: nothing is launched for it.
  const std::vector<std::byte>& grad_v = c.inputs().at("grad_mixed").bytes;
  c.convert(
      "grads/v", 0, [](const std::byte*, std::byte*) {},
      [&grad_v](const std::byte*, std::byte* to) { std::copy(grad_v.begin(), grad_v.end(), to); });
  void* const workspace = c.scratch("workspace", gpu::gate_workspace_bytes(shape));
  const std::int64_t stride = shape.width;
  const auto v = c.bf16("v"), ve = c.bf16("ve"), a = c.bf16("a"), w = c.bf16("w");
  const auto mixed = c.bf16("outputs/mixed"), grad_mixed = c.bf16("grad_mixed");
  const auto grad_ve = c.bf16("grads/ve"), grad_w = c.bf16("grads/w");
  float* const grad_a = c.fp32("grads/a");
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::value_mix_forward(shape, v, stride, ve, a, w, mixed, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                gpu::value_mix_backward(shape, grad_mixed, stride, ve, a, w, nullptr, grad_ve,
                                        grad_w, grad_a, false, workspace, stream);
              }};
}

}  // namespace

GpuCalls gpu_linear_calls() {
  return {{"linear", linear},
          {"lambda_linear", lambda_linear},
          {"mlp", mlp},
          {"output_gate", output_gate},
          {"value_mix", value_mix}};
}

}  // namespace pairedhead
