#include <array>

#include "gpu/kernels/embedding.h"
#include "gpu/kernels/residual.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

gpu::StreamShape stream_shape(GpuCase& c) {
  const Shape& shape = c.inputs().at("x").shape;
  return {.tokens = static_cast<int>(shape.at(0)), .width = static_cast<int>(shape.at(1))};
}

__nv_bfloat16* bf16_or_null(GpuCase& c, const char* name) {
  return c.has(name) ? c.bf16(name) : nullptr;
}

GpuLaunches rms_norm(GpuCase& c) {
  const gpu::StreamShape shape = stream_shape(c);
  const auto x = c.bf16("x"), y = c.bf16("outputs/y"), grad_y = c.bf16("grad_y");
  const auto grad_residual = bf16_or_null(c, "grad_residual"), grad_x = c.bf16("grads/x");
  return {.forward = [=](cudaStream_t stream) { rms_norm_forward(shape, x, y, stream); },
          .backward =
              [=](cudaStream_t stream) {
                rms_norm_backward(shape, x, grad_y, grad_residual, grad_x, stream);
              }};
}

GpuLaunches mix_norm(GpuCase& c) {
  const gpu::StreamShape shape = stream_shape(c);
  gpu::MixInputs inputs = {
      .x = c.bf16("x"), .x0 = c.bf16("x0"), .skip = {}, .rho = c.fp32("rho"), .lam = c.fp32("lam")};
  const gpu::MixIncoming incoming = {
      .mixed = c.bf16("grad_mixed"),
      .a = c.bf16("grad_a"),
      .a_gates = c.has("grad_a_gates") ? c.fp32("grad_a_gates") : nullptr,
      .x_before = bf16_or_null(c, "grad_x_before"),
      .x0_before = bf16_or_null(c, "grad_x0_before")};
  gpu::MixGradients gradients = {.x = c.bf16("grads/x"),
                                 .x0 = c.bf16("grads/x0"),
                                 .rho = c.fp32("grads/rho"),
                                 .lam = c.fp32("grads/lam"),
                                 .skip = {}};
  if (c.has("x_skip")) {
    inputs.skip = {.x_skip = c.bf16("x_skip"), .w = c.bf16("w"), .theta = c.fp32("theta")};
    gradients.skip = {
        .x_skip = c.bf16("grads/x_skip"), .w = c.bf16("grads/w"), .theta = c.fp32("grads/theta")};
  }
  const auto mixed = c.bf16("outputs/mixed"), a = c.bf16("outputs/a");
  void* const workspace = c.scratch("workspace", gpu::residual_workspace_bytes(shape));
  return {
      .forward = [=](cudaStream_t stream) { mix_norm_forward(shape, inputs, mixed, a, stream); },
      .backward =
          [=](cudaStream_t stream) {
            mix_norm_backward(shape, inputs, incoming, gradients, workspace, stream);
          }};
}

GpuLaunches backout_norm(GpuCase& c) {
  const gpu::StreamShape shape = stream_shape(c);
  const auto x = c.bf16("x"), x_back = c.bf16("x_back"), y = c.bf16("outputs/y");
  const auto beta = c.fp32("beta"), grad_beta = c.fp32("grads/beta");
  const auto grad_y = c.bf16("grad_y"), grad_x = c.bf16("grads/x");
  const auto grad_x_back = c.bf16("grads/x_back");
  void* const workspace = c.scratch("workspace", gpu::residual_workspace_bytes(shape));
  return {.forward =
              [=](cudaStream_t stream) { backout_norm_forward(shape, x, x_back, beta, y, stream); },
          .backward =
              [=](cudaStream_t stream) {
                backout_norm_backward(shape, x, x_back, beta, grad_y, grad_x, grad_x_back,
                                      grad_beta, workspace, stream);
              }};
}

gpu::EmbeddingShape embedding_shape(GpuCase& c, const char* table) {
  const Shape& shape = c.inputs().at(table).shape;
  return {.tokens = static_cast<int>(c.inputs().at("tokens").size()),
          .width = static_cast<int>(shape.at(1)),
          .vocabulary = static_cast<int>(shape.at(0))};
}

GpuLaunches embed_smear_norm(GpuCase& c) {
  const gpu::EmbeddingShape shape = embedding_shape(c, "table");
  const auto tokens = c.at<std::int32_t>("tokens");
  const auto table = c.bf16("table"), w = c.bf16("w"), x0 = c.bf16("outputs/x0");
  const auto lam = c.fp32("lam"), grad_lam = c.fp32("grads/lam");
  const auto grad_x0 = c.bf16("grad_x0"), grad_x = bf16_or_null(c, "grad_x");
  const auto before = bf16_or_null(c, "grad_table_before");
  const auto grad_table = c.bf16("grads/table"), grad_w = c.bf16("grads/w");
  const std::size_t table_bytes = c.inputs().at("table").bytes.size();
  const std::size_t rows_bytes = c.outputs().at("outputs/x0").bytes.size();
  const auto grad_e = static_cast<__nv_bfloat16*>(c.scratch("grad_e", rows_bytes));
  void* const order = c.scratch("order", gpu::token_order_bytes(shape));
  void* const workspace = c.scratch("workspace", gpu::embedding_workspace_bytes(shape));
  return {.forward =
              [=](cudaStream_t stream) {
                embed_smear_norm_forward(shape, tokens, table, w, lam, x0, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                embed_smear_norm_backward(shape, tokens, table, w, lam, grad_x0, grad_x, grad_e,
                                          grad_w, grad_lam, order, workspace, stream);
                if (before != nullptr) {
                  CUDA_CHECK(cudaMemcpyAsync(grad_table, before, table_bytes,
                                             cudaMemcpyDeviceToDevice, stream));
                }
                const gpu::TableGradient gradient = {grad_e, before == nullptr, grad_table};
                scatter_rows(shape, order, {&gradient, 1}, workspace, stream);
              }};
}

GpuLaunches value_embedding(GpuCase& c) {
  const gpu::EmbeddingShape shape = embedding_shape(c, "value_embed_0");
  struct Table {
    const __nv_bfloat16* table;
    __nv_bfloat16* ve;
  };
  std::array<Table, 3> tables;
  std::array<gpu::TableGradient, 3> gradients;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const std::string n = std::to_string(i);
    tables[i] = {c.bf16("value_embed_" + n), c.bf16("outputs/ve_" + n)};
    gradients[i] = {c.bf16("grad_ve_" + n), true, c.bf16("grads/value_embed_" + n)};
  }
  const auto tokens = c.at<std::int32_t>("tokens");
  void* const order = c.scratch("order", gpu::token_order_bytes(shape));
  void* const workspace = c.scratch("workspace", gpu::embedding_workspace_bytes(shape));
  return {.forward =
              [=](cudaStream_t stream) {
                for (const Table& t : tables) gather_rows(shape, tokens, t.table, t.ve, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                sort_tokens(shape, tokens, order, workspace, stream);
                scatter_rows(shape, order, gradients, workspace, stream);
              }};
}

}  // namespace

GpuCalls gpu_trunk_calls() {
  return {{"embed_smear_norm", embed_smear_norm},
          {"value_embedding", value_embedding},
          {"rms_norm", rms_norm},
          {"mix_norm", mix_norm},
          {"skip_mix_norm", mix_norm},
          {"backout_norm", backout_norm}};
}

}  // namespace pairedhead
