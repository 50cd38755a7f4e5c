#include "gpu/kernels/head.h"
#include "gpu/kernels/softcap_loss.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

GpuLaunches quantise_fp8(GpuCase& c) {
  const auto count = static_cast<std::int64_t>(c.inputs().at("x").size());
  const float scale = *c.inputs().at("scale").as<float>();
  const auto x = c.bf16("x");
  const auto e4m3 = c.at<std::uint8_t>("outputs/x_e4m3");
  const auto e5m2 = c.at<std::uint8_t>("outputs/x_e5m2");
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::quantise_e4m3(x, count, scale, e4m3, stream);
                gpu::quantise_e5m2(x, count, scale, e5m2, stream);
              },
          .backward = {}};
}

// What the rows of the loss hand to its kernels.
struct LossCase {
  gpu::LossShape shape;
  gpu::LossSettings settings;
  const __nv_bfloat16* z;
  const std::int32_t* targets;
  const float* grad_loss;
  float *logsumexp, *loss;
  void* workspace;

  explicit LossCase(GpuCase& c)
      : shape{c.extent("T"), c.extent("V")},
        settings{.mtp_weights = c.fp32("mtp_weights"),
                 .horizons = c.extent("horizons"),
                 .validation = c.extent("validation") != 0},
        z(c.bf16("z")),
        targets(c.at<std::int32_t>("targets")),
        grad_loss(c.fp32("grad_loss")),
        logsumexp(c.fp32("outputs/logsumexp")),
        loss(c.fp32("outputs/loss")),
        workspace(c.scratch("workspace", gpu::softcap_loss_workspace_bytes(shape))) {}

  void forward(cudaStream_t stream) const {
    softcap_loss_forward(shape, z, targets, settings, {.logsumexp = logsumexp, .loss = loss},
                         workspace, stream);
  }
};

GpuLaunches softcap_loss(GpuCase& c) {
  const LossCase loss(c);
  const auto grad_z = c.bf16("grads/z");
  return {.forward = [=](cudaStream_t stream) { loss.forward(stream); },
          .backward =
              [=](cudaStream_t stream) {
                softcap_loss_backward(loss.shape, loss.z, loss.logsumexp, loss.targets,
                                      loss.settings, loss.grad_loss, grad_z, stream);
              }};
}

// The bf16 gradient comes from the kernel that stores it, and so is untimed: the codes are judged
// as its quantisation, bit by bit.
GpuLaunches softcap_loss_fp8(GpuCase& c) {
  const LossCase loss(c);
  const auto grad_z = c.bf16("grads/z");
  const auto codes = c.at<std::uint8_t>("outputs/codes");
  const auto transposed = c.at<std::uint8_t>("outputs/codes_transposed");
  return {.forward =
              [=](cudaStream_t stream) {
                loss.forward(stream);
                softcap_loss_backward(loss.shape, loss.z, loss.logsumexp, loss.targets,
                                      loss.settings, loss.grad_loss, grad_z, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                softcap_loss_backward_fp8(loss.shape, loss.z, loss.logsumexp, loss.targets,
                                          loss.settings, loss.grad_loss, gpu::fp8_scales().gradient,
                                          codes, transposed, stream);
              }};
}

}  // namespace

GpuCalls gpu_head_calls() {
  return {{"quantise_fp8", quantise_fp8},
          {"softcap_loss", softcap_loss},
          {"softcap_loss_fp8", softcap_loss_fp8}};
}

}  // namespace pairedhead
