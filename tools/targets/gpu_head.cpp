#include "gpu/kernels/head.h"
#include "gpu/kernels/softcap_loss.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

// The values as a matrix, of sixteen columns where they come out even: then whole rows are moved.
// The transpose is judged by the rows of the head.
GpuLaunches quantise_fp8(GpuCase& c) {
  const auto count = static_cast<std::int64_t>(c.inputs().at("x").size());
  const std::int64_t columns = count % 16 == 0 ? 16 : 1, rows = count / columns;
  const float scale = *c.inputs().at("scale").as<float>();
  const auto x = c.bf16("x");
  const auto e4m3 = c.at<std::uint8_t>("outputs/x_e4m3");
  const auto e5m2 = c.at<std::uint8_t>("outputs/x_e5m2");
  auto* const transposed =
      static_cast<std::uint8_t*>(c.scratch("transposed", static_cast<std::size_t>(count)));
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::quantise_both_ways(x, rows, columns, scale, e4m3, transposed, stream);
                gpu::quantise_e5m2_both_ways(x, rows, columns, scale, e5m2, transposed, stream);
              },
          .backward = {}};
}

// Quantisation, as the trainer does it before the products, is part of the row.
GpuLaunches head_fp8(GpuCase& c) {
  const gpu::HeadShape shape = {c.extent("T"), c.extent("C"), c.extent("V")};
  gpu::LinearAlgebra* const algebra = &c.algebra();
  const auto x = c.bf16("x"), lm_head = c.bf16("lm_head"), z = c.bf16("outputs/z");
  const auto grad_z = c.bf16("grad_z"), grad_x = c.bf16("grads/x");
  const auto grad_lm_head = c.bf16("grads/lm_head");
  if (c.extent("validation") == 1) {
    return {.forward =
                [=](cudaStream_t stream) {
                  linear_forward(*algebra, shape.tokens, shape.width, shape.vocabulary, x, lm_head,
                                 nullptr, z, stream);
                },
            .backward =
                [=](cudaStream_t stream) {
                  linear_backward(*algebra, shape.tokens, shape.width, shape.vocabulary, x, lm_head,
                                  grad_z, grad_x, grad_lm_head, stream);
                }};
  }
  struct Codes {
    std::uint8_t *codes, *transposed;
    operator gpu::Fp8Operand() const { return {codes, transposed}; }
  };
  const auto room = [&](const char* name, std::int64_t rows, std::int64_t columns) {
    const auto bytes = static_cast<std::size_t>(rows * columns);
    const auto take = [&](const std::string& layout) {
      return static_cast<std::uint8_t*>(c.scratch(name + layout, bytes));
    };
    return Codes{take("/codes"), take("/transposed")};
  };
  const Codes x8 = room("x", shape.tokens, shape.width);
  const Codes w8 = room("lm_head", shape.vocabulary, shape.width);
  const Codes g8 = room("grad_z", shape.tokens, shape.vocabulary);
  return {.forward =
              [=](cudaStream_t stream) {
                const gpu::Fp8Scales scales = gpu::fp8_scales();
                gpu::quantise_both_ways(x, shape.tokens, shape.width, scales.activation, x8.codes,
                                        x8.transposed, stream);
                gpu::quantise_both_ways(lm_head, shape.vocabulary, shape.width, scales.weight,
                                        w8.codes, w8.transposed, stream);
                head_fp8_forward(*algebra, shape, x8, w8, z, stream);
              },
          .backward =
              [=](cudaStream_t stream) {
                gpu::quantise_e5m2_both_ways(grad_z, shape.tokens, shape.vocabulary,
                                             gpu::fp8_scales().gradient, g8.codes, g8.transposed,
                                             stream);
                head_fp8_backward(*algebra, shape, x8, w8, g8, grad_x, grad_lm_head, stream);
              }};
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

// The codes are judged as the quantisation of the bf16 gradient that softcap_loss's kernel stores.
GpuLaunches softcap_loss_fp8(GpuCase& c) {
  const LossCase loss(c);
  const auto codes = c.at<std::uint8_t>("outputs/codes");
  const auto transposed = c.at<std::uint8_t>("outputs/codes_transposed");
  GpuLaunches launches = softcap_loss(c);
  launches.finish = launches.backward;
  launches.backward = [=](cudaStream_t stream) {
    softcap_loss_backward_fp8(loss.shape, loss.z, loss.logsumexp, loss.targets, loss.settings,
                              loss.grad_loss, gpu::fp8_scales().gradient, codes, transposed,
                              stream);
  };
  return launches;
}

}  // namespace

GpuCalls gpu_head_calls() {
  return {{"quantise_fp8", quantise_fp8},
          {"head_fp8", head_fp8},
          {"softcap_loss", softcap_loss},
          {"softcap_loss_fp8", softcap_loss_fp8}};
}

}  // namespace pairedhead
