#include "tools/targets/gpu_target.h"

namespace pairedhead {

GpuTarget::GpuTarget() : device_(gpu::require_device()) {
  for (const GpuCalls& family :
       {gpu_attention_calls(), gpu_trunk_calls(), gpu_linear_calls(), gpu_head_calls(),
        gpu_optimizer_calls(), gpu_model_calls(), gpu_trainer_calls()}) {
    calls_.insert(family.begin(), family.end());
  }
}

std::optional<std::string> GpuTarget::skips(const Component& component) const {
  if (calls_.count(component.name) > 0) return std::nullopt;
  if (component.fused_into.empty()) return "no kernel";
  return "fused into " + component.fused_into;
}

GpuTarget::Prepared GpuTarget::prepare(const Component& component, const Parameters& parameters,
                                       const Arrays& inputs, const Arrays& outputs) {
  GpuCase device_case(memory_, parameters, inputs, outputs);
  GpuLaunches launches = calls_.at(component.name)(device_case);
  return {std::move(device_case), std::move(launches)};
}

void GpuTarget::run(const Component& component, const Parameters& parameters, const Arrays& inputs,
                    Arrays& outputs) {
  Prepared prepared = prepare(component, parameters, inputs, outputs);
  const auto& [forward, backward, start, finish] = prepared.launches;
  if (start) start(memory_.stream);
  forward(memory_.stream);
  if (backward) backward(memory_.stream);
  if (finish) finish(memory_.stream);
  memory_.stream.synchronize();
  prepared.device_case.check_untouched();
  prepared.device_case.collect(outputs);
}

}  // namespace pairedhead
