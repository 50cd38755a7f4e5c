#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

namespace pairedhead::gpu {

// There is no device that the kernels can run on: why, in one sentence.
class DeviceUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What the CUDA runtime says of this machine. Versions as CUDA counts them: 13000 is 13.0; a driver
// version of 0 means that no driver is installed. Everything below `devices` is of device `index`,
// where there are as many.
struct DeviceInfo {
  int index = 0;
  cudaError_t status = cudaSuccess;  // of asking how many devices there are
  int driver_version = 0, runtime_version = 0;
  int devices = 0;
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  std::size_t memory_bytes = 0;
};

// Asks; throws nothing, and needs neither a device nor a driver.
DeviceInfo probe_device(int index = 0);

// Why the kernels cannot run there, in one sentence, or nullopt if they can: no driver, one too
// old, no device, too few, or not compute capability 9.0 (the kernels use Hopper's own
// instructions).
std::optional<std::string> unusable(const DeviceInfo& info);

// "13.0"
std::string version_text(int version);

// Selects a device. Throws DeviceUnavailable.
DeviceInfo require_device(int index = 0);

}  // namespace pairedhead::gpu
