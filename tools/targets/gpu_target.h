#pragma once

#include <optional>

#include "gpu/device.h"
#include "tools/targets/gpu_case.h"
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

  // A case on the device and its launches. They use buffers of this target, so they are good until
  // its next prepare() or run(), and as long as the arguments.
  struct Prepared {
    GpuCase device_case;
    GpuLaunches launches;
  };
  Prepared prepare(const Component& component, const Parameters& parameters, const Arrays& inputs,
                   const Arrays& outputs);

  const gpu::Stream& stream() const { return memory_.stream; }
  const gpu::DeviceInfo& device() const { return device_; }

 private:
  gpu::DeviceInfo device_;  // first: nothing is allocated where there is no device
  GpuMemory memory_;
  GpuCalls calls_;
};

}  // namespace pairedhead
