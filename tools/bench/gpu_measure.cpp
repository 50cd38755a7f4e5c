#include "tools/bench/gpu_measure.h"

#include <cublas_v2.h>

#include "tools/bench/gpu_head_measure.h"
#include "tools/bench/gpu_timing.h"
#include "tools/components/fill.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw gpu::CudaError(std::string(call) + ": " + cublasGetStatusString(status));
}

double matrix_rate(const gpu::Stream& stream) {
  constexpr int n = 8192;
  const Array a = filled("normal", DType::bf16, {n, n}, Random(1));
  const Array b = filled("normal", DType::bf16, {n, n}, Random(2));
  gpu::GuardedBuffer left("left"), right("right"), product("product");
  left.reset(a.bytes.data(), a.bytes.size(), stream);
  right.reset(b.bytes.data(), b.bytes.size(), stream);
  product.reset(a.bytes.size(), stream);
  cublasHandle_t handle = nullptr;
  check_cublas(cublasCreate(&handle), "cublasCreate");
  check_cublas(cublasSetStream(handle, stream), "cublasSetStream");
  const float one = 1, zero = 0;
  const double milliseconds = median_milliseconds(stream, [&](cudaStream_t) {
    check_cublas(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, left.data(),
                              CUDA_R_16BF, n, right.data(), CUDA_R_16BF, n, &zero, product.data(),
                              CUDA_R_16BF, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                 "cublasGemmEx");
  });
  check_cublas(cublasDestroy(handle), "cublasDestroy");
  return 2.0 * n * n * n / (milliseconds * 1e-3);
}

double copy_bandwidth(const gpu::Stream& stream) {
  constexpr std::size_t bytes = std::size_t{1} << 30;
  gpu::DeviceMemory from(bytes), to(bytes);
  CUDA_CHECK(cudaMemsetAsync(from.data(), 0x5a, bytes, stream));
  const double milliseconds = median_milliseconds(stream, [&](cudaStream_t s) {
    CUDA_CHECK(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, s));
  });
  return 2.0 * static_cast<double>(bytes) / (milliseconds * 1e-3);
}

}  // namespace

Ceilings measure_ceilings(GpuTarget& target) {
  return {target.device().name, copy_bandwidth(target.stream()), matrix_rate(target.stream())};
}

std::vector<Measurement> measure(GpuTarget& target, const BenchSetting& setting) {
  const Component& component = component_named(setting.component);
  component.check(setting.parameters);
  if (setting.component == "head_fp8") return measure_head(target, setting);
  const Arrays inputs = component.inputs(setting.parameters, 1);
  Arrays outputs = poisoned_outputs(component, setting.parameters, 1);
  auto [device_case, launches] = target.prepare(component, setting.parameters, inputs, outputs);

  std::vector<Measurement> measurements;
  const auto add = [&](const char* direction, bool backward, const Launch& launch,
                       const Launch& before, std::optional<double> peer) {
    measurements.push_back({setting.component, setting.setting, direction,
                            median_milliseconds(target.stream(), launch, before),
                            component.work(setting.parameters, backward), peer});
  };
  add("forward", false, launches.forward, launches.start, setting.peer_forward_ms);
  if (launches.start) {  // the timed launches worked on their own results; this one is compared
    launches.start(target.stream());
    launches.forward(target.stream());
  }
  if (launches.backward) add("backward", true, launches.backward, {}, setting.peer_backward_ms);

  if (launches.finish) launches.finish(target.stream());
  Arrays timed = outputs;
  device_case.collect(timed);
  target.run(component, setting.parameters, inputs, outputs);
  for (const auto& [name, array] : outputs) {
    if (array.bytes == timed.at(name).bytes) continue;
    throw InputError("bench: " + setting.component + " " + setting.setting + ": " + name +
                     " after the timed launches differs from a fresh run, expected the same bits");
  }
  return measurements;
}

}  // namespace pairedhead
