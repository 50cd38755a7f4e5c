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
  const auto x = c.bf16("x"), x0 = c.bf16("x0");
  const auto rho = c.fp32("rho"), lam = c.fp32("lam");
  gpu::SkipInputs skip;
  gpu::SkipGradients grad_skip;
  if (c.has("x_skip")) {
    skip = {.x_skip = c.bf16("x_skip"), .w = c.bf16("w"), .theta = c.fp32("theta")};
    grad_skip = {
        .x_skip = c.bf16("grads/x_skip"), .w = c.bf16("grads/w"), .theta = c.fp32("grads/theta")};
  }
  const auto mixed = c.bf16("outputs/mixed"), a = c.bf16("outputs/a");
  const auto grad_mixed = c.bf16("grad_mixed"), grad_a = c.bf16("grad_a");
  const float* const gates = c.has("grad_a_gates") ? c.fp32("grad_a_gates") : nullptr;
  const auto x_before = bf16_or_null(c, "grad_x_before");
  const auto x0_before = bf16_or_null(c, "grad_x0_before");
  const auto grad_x = c.bf16("grads/x"), grad_x0 = c.bf16("grads/x0");
  const auto grad_rho = c.fp32("grads/rho"), grad_lam = c.fp32("grads/lam");
  void* const workspace = c.scratch("workspace", gpu::residual_workspace_bytes(shape));
  return {.forward =
              [=](cudaStream_t stream) {
                mix_norm_forward(shape, x, x0, skip, rho, lam, mixed, a, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                mix_norm_backward(shape, x, x0, skip, rho, lam, mixed, grad_mixed, grad_a, gates,
                                  x_before, grad_x, x0_before, grad_x0, grad_rho, grad_lam,
                                  grad_skip, workspace, stream);
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

}  // namespace

GpuCalls gpu_trunk_calls() {
  return {{"rms_norm", rms_norm},
          {"mix_norm", mix_norm},
          {"skip_mix_norm", mix_norm},
          {"backout_norm", backout_norm}};
}

}  // namespace pairedhead
