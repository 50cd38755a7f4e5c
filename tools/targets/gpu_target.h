#pragma once

#include <functional>
#include <map>

#include "gpu/device.h"
#include "gpu/device_buffer.h"
#include "tools/targets/target.h"

namespace pairedhead {

// Our kernels on device 0. Every buffer lies between guard zones, arrives poisoned, and is looked
// at again afterwards: run() throws GuardError where a zone was written or an input changed,
// CudaError where a call failed.
class GpuTarget : public Target {
 public:
  GpuTarget();  // throws gpu::DeviceUnavailable

  std::string name() const override { return "gpu"; }
  std::optional<std::string> skips(const Component& component) const override;
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override;

  // The launches of a case, to be called as often as one likes; backward reads what forward wrote,
  // and is empty where the component has none. They use buffers of this target, so they are good
  // until its next prepare() or run().
  struct Launches {
    std::function<void(cudaStream_t)> forward, backward;
  };
  // Copies inputs and poisoned outputs to the device. Outputs are not read back; run() does that.
  Launches prepare(const Component& component, const Parameters& parameters, const Arrays& inputs,
                   const Arrays& outputs);

  // Reads the outputs of the prepared case back, after its launches.
  void collect(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

  const gpu::Stream& stream() const { return stream_; }
  const gpu::DeviceInfo& device() const { return device_; }

 private:
  Launches prepare_attention(const Parameters& parameters, const Arrays& inputs,
                             const Arrays& outputs);
  Launches prepare_qk(const Parameters& parameters, const Arrays& inputs);
  Launches prepare_table(const Parameters& parameters, const Arrays& inputs);

  gpu::GuardedBuffer& buffer(const std::string& name);
  void check_untouched(const Arrays& inputs);

  gpu::DeviceInfo device_;
  gpu::Stream stream_;
  std::map<std::string, gpu::GuardedBuffer> buffers_;
  std::vector<std::string> in_use_;  // by the present case
};

}  // namespace pairedhead
