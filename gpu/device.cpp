#include "gpu/device.h"

#include "gpu/error.h"

namespace pairedhead::gpu {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

DeviceInfo probe_device(int index) {
  DeviceInfo info;
  info.index = index;
  cudaRuntimeGetVersion(&info.runtime_version);
  // Without a driver this leaves 0.
  if (cudaDriverGetVersion(&info.driver_version) != cudaSuccess) info.driver_version = 0;
  info.status = cudaGetDeviceCount(&info.devices);
  if (info.status != cudaSuccess) info.devices = 0;
  if (info.devices > index) {
    cudaDeviceProp properties;
    info.status = cudaGetDeviceProperties(&properties, index);
    if (info.status == cudaSuccess) {
      info.name = properties.name;
      info.compute_major = properties.major;
      info.compute_minor = properties.minor;
      info.multiprocessors = properties.multiProcessorCount;
      info.memory_bytes = properties.totalGlobalMem;
    }
  }
  cudaGetLastError();  // the answer is in `status`; later launches must not find it again
  return info;
}

std::optional<std::string> unusable(const DeviceInfo& info) {
  if (info.driver_version == 0) return "no CUDA driver is installed on this machine";
  if (info.status == cudaErrorInsufficientDriver) {
    return "the CUDA driver supports CUDA " + version_text(info.driver_version) +
           ", expected at least " + version_text(info.runtime_version);
  }
  if (info.status == cudaErrorNoDevice || (info.status == cudaSuccess && info.devices == 0)) {
    return "this machine has no CUDA device";
  }
  if (info.status != cudaSuccess) {
    return std::string("the CUDA device does not answer: ") + cudaGetErrorString(info.status);
  }
  if (info.index >= info.devices) {
    return "expected CUDA device " + std::to_string(info.index) + " on this machine, got " +
           std::to_string(info.devices) + " devices";
  }
  if (info.compute_major != 9 || info.compute_minor != 0) {
    return "the kernels are built for compute capability 9.0 (Hopper), got " +
           std::to_string(info.compute_major) + "." + std::to_string(info.compute_minor) + " (" +
           info.name + ")";
  }
  return std::nullopt;
}

DeviceInfo require_device(int index) {
  DeviceInfo info = probe_device(index);
  if (const auto reason = unusable(info)) throw DeviceUnavailable(*reason);
  CUDA_CHECK(cudaSetDevice(index));
  return info;
}

}  // namespace pairedhead::gpu
