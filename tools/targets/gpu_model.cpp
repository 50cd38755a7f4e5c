#include <memory>

#include "gpu/kernels/softcap_loss.h"
#include "gpu/model.h"
#include "tools/components/model_layout.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

// A case's model with its parameters and gradients in the layout of the trainer.
struct DeviceModel {
  DeviceModel(GpuCase& c, const reference::Config& config)
      : layout(config),
        memory(gpu::Model::bytes(config, extent(c))),
        model(config, layout, extent(c), memory),
        parameters(buffers(c, "parameters")),
        gradients(buffers(c, "gradients")) {
    CUDA_CHECK(cudaMemset(memory.data(), gpu::GuardedBuffer::guard_value, memory.bytes()));
    CUDA_CHECK(cudaStreamSynchronize(cudaStreamLegacy));  // the case's own stream does not wait
  }

  gpu::ParameterLayout layout;
  gpu::DeviceMemory memory;
  gpu::Model model;
  gpu::ParameterBuffers parameters, gradients;

 private:
  static gpu::ModelExtent extent(const GpuCase& c) {
    return {
        .purpose = gpu::Purpose::training, .tokens = c.extent("T"), .head_tokens = c.extent("T")};
  }
  gpu::ParameterBuffers buffers(GpuCase& c, const std::string& name) const {
    const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
    return {static_cast<__nv_bfloat16*>(
                c.scratch(name + " in bf16", count(layout.bf16_count()) * sizeof(__nv_bfloat16))),
            static_cast<float*>(
                c.scratch(name + " in fp32", count(layout.fp32_count()) * sizeof(float)))};
  }
};

// The name of the first parameter of a stack, where the whole stack begins.
std::string first_of(const reference::Config& config, const std::string& stack) {
  for (const reference::ParameterInfo& info : reference::parameter_table(config)) {
    if (info.name.substr(0, info.name.find('.')) == stack) return info.name;
  }
  throw InputError("model: no parameter " + stack);
}

// Bytes of a stack in the buffers of the trainer, and how many they are.
std::pair<std::byte*, std::size_t> place_of(const gpu::ParameterBuffers& buffers,
                                            const gpu::ParameterLayout& layout,
                                            const reference::Config& config,
                                            const reference::ParameterInfo& stack) {
  const gpu::ParameterPlace& place = layout.at(first_of(config, stack.name));
  const auto count = static_cast<std::size_t>(element_count(stack.shape));
  if (place.bf16()) return {reinterpret_cast<std::byte*>(buffers.matrix(place)), 2 * count};
  return {reinterpret_cast<std::byte*>(buffers.vector(place)), 4 * count};
}

GpuLaunches model(GpuCase& c) {
  const reference::Config config = model_config(c.parameters());
  const auto device = std::make_shared<DeviceModel>(c, config);
  const bool validation = c.extent("validation") == 1;
  const bool split = c.extent("split") == 1;
  const int tokens = c.extent("T");
  const gpu::ModelBatch batch = {.tokens = tokens,
                                 .inputs = c.at<std::int32_t>("tokens"),
                                 .targets = c.at<std::int32_t>("targets"),
                                 .cu_seqlens = c.at<std::int32_t>("cu_seqlens"),
                                 .entries = static_cast<int>(c.inputs().at("cu_seqlens").size())};
  const Array& windows = c.inputs().at("windows");
  const bool fp8 = c.parameters().word("head") == "fp8";
  const gpu::ModelSettings settings = {
      .short_window = static_cast<int>(windows.at(0)),
      .long_window = static_cast<int>(windows.at(1)),
      .softmax_scale = static_cast<float>(c.inputs().at("softmax_scale").at(0)),
      .split_embedding = split,
      .head = fp8 && !validation ? gpu::HeadForm::fp8 : gpu::HeadForm::bf16,
      .loss = {.mtp_weights = c.fp32("mtp_weights"),
               .horizons = c.extent("horizons"),
               .validation = validation}};
  const gpu::ModelLoss loss = {c.fp32("outputs/loss"), nullptr};
  const float* frequency = c.fp32("frequency");
  const float* grad_loss = c.fp32("grad_loss");
  const auto stacks = stacked_table(config);
  std::map<std::string, std::byte*> from, to;
  for (const reference::ParameterInfo& stack : stacks) {
    from[stack.name] = c.at<std::byte>(stack.name);
    to[stack.name] = c.at<std::byte>("grads/" + stack.name);
  }
  auto* const logits = c.bf16("outputs/logits");
  auto* const head_input = c.bf16("outputs/head_input");
  auto* const grad_logits = c.bf16("outputs/grad_logits");
  auto* const grad_head_input = c.bf16("outputs/grad_head_input");
  auto* const grad_head_weight = c.bf16("outputs/grad_head_weight");
  const auto bytes_of = [tokens](Index width) {
    return sizeof(__nv_bfloat16) * static_cast<std::size_t>(tokens * width);
  };
  const std::size_t logit_bytes = bytes_of(config.vocabulary), input_bytes = bytes_of(config.width);
  gpu::LinearAlgebra& algebra = c.algebra();

  return {.forward =
              [=, &algebra](cudaStream_t stream) {
                for (const reference::ParameterInfo& stack : stacks) {
                  const auto [place, bytes] =
                      place_of(device->parameters, device->layout, config, stack);
                  CUDA_CHECK(cudaMemcpyAsync(place, from.at(stack.name), bytes,
                                             cudaMemcpyDeviceToDevice, stream));
                }
                device->model.make_rotary_tables(frequency, tokens, stream);
                device->model.prepare_weights(device->parameters, settings.head, stream);
                device->model.forward(algebra, device->parameters, batch, settings, loss, stream);
                CUDA_CHECK(cudaMemcpyAsync(logits, device->model.logits(), logit_bytes,
                                           cudaMemcpyDeviceToDevice, stream));
                CUDA_CHECK(cudaMemcpyAsync(head_input, device->model.head_input(), input_bytes,
                                           cudaMemcpyDeviceToDevice, stream));
              },
          .backward =
              [=, &algebra](cudaStream_t stream) {
                device->model.backward(algebra, device->parameters, batch, settings, grad_loss,
                                       device->gradients, stream);
                for (const reference::ParameterInfo& stack : stacks) {
                  const auto [place, bytes] =
                      place_of(device->gradients, device->layout, config, stack);
                  if (stack.name == "embed" && !split) {  // it has no gradient of its own
                    CUDA_CHECK(cudaMemsetAsync(to.at(stack.name), 0, bytes, stream));
                    continue;
                  }
                  CUDA_CHECK(cudaMemcpyAsync(to.at(stack.name), place, bytes,
                                             cudaMemcpyDeviceToDevice, stream));
                }
              },
          .finish =
              [=, &algebra](cudaStream_t stream) {
                device->model.backward_head_products(algebra, device->parameters, batch, settings,
                                                     grad_head_input, grad_head_weight, stream);
                if (settings.head == gpu::HeadForm::fp8) {  // it stores codes of dz in its place
                  softcap_loss_backward({tokens, static_cast<int>(config.vocabulary)},
                                        device->model.logits(), device->model.logsumexp(),
                                        batch.targets, settings.loss, grad_loss, grad_logits,
                                        stream);
                } else {
                  CUDA_CHECK(cudaMemcpyAsync(grad_logits, device->model.logits(), logit_bytes,
                                             cudaMemcpyDeviceToDevice, stream));
                }
              }};
}

}  // namespace

GpuCalls gpu_model_calls() { return {{"model", model}}; }

}  // namespace pairedhead
