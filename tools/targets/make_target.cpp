#include "reference/error.h"
#include "tools/targets/emulated_target.h"
#include "tools/targets/exec_target.h"
#include "tools/targets/rounded_target.h"
#include "tools/targets/target.h"
#ifdef PAIREDHEAD_HAS_CUDA
#include "tools/targets/gpu_target.h"
#endif

namespace pairedhead {
namespace {

std::unique_ptr<Target> make_gpu_target() {
#ifdef PAIREDHEAD_HAS_CUDA
  try {
    return std::make_unique<GpuTarget>();
  } catch (const gpu::DeviceUnavailable& error) {
    throw DeviceError("--target gpu: " + std::string(error.what()));
  }
#else
  throw DeviceError("--target gpu: this program was built without CUDA");
#endif
}

}  // namespace

std::unique_ptr<Target> make_target(const std::string& name) {
  const std::string exec = "exec:";
  if (name == "emulated") return std::make_unique<EmulatedTarget>();
  if (name == "rounded") return std::make_unique<RoundedTarget>();
  if (name == "gpu") return make_gpu_target();
  if (name.starts_with(exec)) return make_exec_target(name.substr(exec.size()));
  throw InputError("--target: expected gpu, emulated, rounded or exec:CMD, got \"" + name + "\"");
}

}  // namespace pairedhead
