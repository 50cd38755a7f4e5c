#include "gpu/kernels/attention.h"
#include "gpu/kernels/qk_prepare.h"
#include "gpu/kernels/rotary_table.h"
#include "tools/targets/case_layout.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

float* floats(std::byte* bytes) { return reinterpret_cast<float*>(bytes); }
const float* floats(const std::byte* bytes) { return reinterpret_cast<const float*>(bytes); }

GpuLaunches attention(GpuCase& c) {
  const AttentionLayout layout = attention_layout(c.parameters(), c.inputs());
  const gpu::AttentionProblem problem = {
      .tokens = static_cast<int>(layout.tokens),
      .rows_per_token = static_cast<int>(layout.rows_per_token),
      .slots = static_cast<int>(layout.slots),
      .head_dim = static_cast<int>(layout.head_dim),
      .window = static_cast<int>(layout.window),
      .softmax_scale = layout.softmax_scale,
      .cu_seqlens = c.at<std::int32_t>("cu_seqlens"),
      .entries = static_cast<int>(c.inputs().at("cu_seqlens").size())};
  c.convert(
      "outputs/logsumexp",
      [layout](const std::byte* from, std::byte* to) {
        const auto by_slot = logsumexp_by_slot(layout, floats(from));
        std::copy(by_slot.begin(), by_slot.end(), floats(to));
      },
      [layout](const std::byte* from, std::byte* to) {
        logsumexp_by_head(layout, floats(from), floats(to));
      });
  void* const workspace = c.scratch("workspace", gpu::attention_workspace_bytes(problem));
  const auto view = [&](const char* name) {
    return gpu::HeadView{.data = c.bf16(name),
                         .stride_token = layout.stride_token,
                         .stride_row = layout.stride_row,
                         .stride_slot = layout.stride_slot};
  };
  const auto q = view("q"), k = view("k"), v = view("v"), y = view("outputs/y");
  const auto grad_y = view("grad_y");
  const auto grad_q = view("grads/q"), grad_k = view("grads/k"), grad_v = view("grads/v");
  float* const logsumexp = c.fp32("outputs/logsumexp");
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

GpuLaunches qk_prepare(GpuCase& c) {
  const Shape& shape = c.inputs().at("q").shape;
  const gpu::QkPrepareProblem problem = {.tokens = static_cast<int>(shape.at(0)),
                                         .heads = static_cast<int>(shape.at(1)),
                                         .head_dim = static_cast<int>(shape.at(2)),
                                         .normalise = c.parameters().integer("normalise") != 0,
                                         .paired = c.parameters().integer("paired") != 0,
                                         .shift_keys = c.parameters().integer("shift") != 0,
                                         .stride_token_in = shape.at(1) * shape.at(2)};
  const auto q = c.bf16("q"), k = c.bf16("k"), cosine = c.bf16("cosine"), sine = c.bf16("sine");
  const auto q_prepared = c.bf16("outputs/q_prepared"), k_prepared = c.bf16("outputs/k_prepared");
  const auto grad_q_prepared = c.bf16("grad_q_prepared");
  const auto grad_k_prepared = c.bf16("grad_k_prepared");
  const auto grad_q = c.bf16("grads/q"), grad_k = c.bf16("grads/k");
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

GpuLaunches rotary_table(GpuCase& c) {
  const int tokens = c.extent("T");
  const int head_dim = static_cast<int>(c.inputs().at("frequency").size());
  const bool paired = c.parameters().integer("paired") != 0;
  const float* frequency = c.fp32("frequency");
  const auto cosine = c.bf16("outputs/cosine"), sine = c.bf16("outputs/sine");
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::rotary_table(frequency, tokens, head_dim, paired, cosine, sine, stream);
              },
          .backward = {}};
}

}  // namespace

GpuCalls gpu_attention_calls() {
  return {{"attention_plain", attention},
          {"attention_paired", attention},
          {"qk_prepare", qk_prepare},
          {"rotary_table", rotary_table}};
}

}  // namespace pairedhead
