#pragma once

#include <cuda_bf16.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "golden/array.h"
#include "gpu/device_buffer.h"
#include "gpu/kernels/linear.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// Device memory of a target, by name and reused from case to case, and what its products need.
struct GpuMemory {
  gpu::Stream stream;
  gpu::LinearAlgebra algebra;
  std::map<std::string, gpu::GuardedBuffer> buffers;

  gpu::GuardedBuffer& buffer(const std::string& name) {
    return buffers.try_emplace(name, name).first->second;
  }
};

// One case on the device: its inputs, its poisoned outputs, and scratch, each between guard zones.
class GpuCase {
 public:
  // Copies inputs and poison to the device.
  GpuCase(GpuMemory& memory, const Parameters& parameters, const Arrays& inputs,
          const Arrays& outputs);

  const Parameters& parameters() const { return parameters_; }
  const Arrays& inputs() const { return inputs_; }
  const Arrays& outputs() const { return outputs_; }  // on the host, with their poison
  gpu::LinearAlgebra& algebra() const { return memory_.algebra; }

  int extent(const char* name) const { return static_cast<int>(parameters_.integer(name)); }
  bool has(const std::string& name) const { return inputs_.count(name) > 0; }

  // On the device: an input by its name, an output by its key ("outputs/y", "grads/x").
  template <class T>
  T* at(const std::string& name) {
    return memory_.buffer(name).as<T>();
  }
  __nv_bfloat16* bf16(const std::string& name) { return at<__nv_bfloat16>(name); }
  float* fp32(const std::string& name) { return at<float>(name); }

  // Poisoned room beside the inputs and outputs.
  void* scratch(const std::string& name, std::size_t bytes);
  // The same, holding `values`.
  template <class T>
  T* scratch(const std::string& name, const std::vector<T>& values) {
    return static_cast<T*>(scratch(name, values.data(), values.size() * sizeof(T)));
  }

  // For an output whose layout on the device, of `device_bytes`, is not the table's. `to_device`
  // makes what lies there before the launches from the host's poison, `to_host` the table's array
  // from what came back.
  using Convert = std::function<void(const std::byte* from, std::byte* to)>;
  void convert(const std::string& key, std::size_t device_bytes, const Convert& to_device,
               Convert to_host);
  // The same where the layouts are of one size.
  void convert(const std::string& key, const Convert& to_device, Convert to_host) {
    convert(key, outputs_.at(key).bytes.size(), to_device, std::move(to_host));
  }

  // Reads the outputs back.
  void collect(Arrays& outputs);
  // Throws GuardError where a guard zone was written or an input changed.
  void check_untouched();

 private:
  void* scratch(const std::string& name, const void* contents, std::size_t bytes);

  GpuMemory& memory_;
  const Parameters& parameters_;
  const Arrays& inputs_;
  const Arrays& outputs_;
  std::vector<std::string> in_use_;
  std::map<std::string, Convert> to_host_;
};

// What a row launches, as often as one likes; backward reads what forward wrote, and is empty where
// the row has none. `start` comes before every forward whose result is read and is no part of what
// is timed: it lays into the buffers of kernels that work in place what they are to find there. Nor
// is `finish`, after both: it fills outputs that a judge needs and no trainer asks for.
struct GpuLaunches {
  std::function<void(cudaStream_t)> forward, backward;
  std::function<void(cudaStream_t)> start = {};
  std::function<void(cudaStream_t)> finish = {};
};

// Kernels by row, one table a family (gpu_<family>.cpp).
using GpuCalls = std::map<std::string, GpuLaunches (*)(GpuCase&)>;
GpuCalls gpu_attention_calls();
GpuCalls gpu_trunk_calls();
GpuCalls gpu_linear_calls();
GpuCalls gpu_head_calls();
GpuCalls gpu_optimizer_calls();
GpuCalls gpu_model_calls();
GpuCalls gpu_trainer_calls();

}  // namespace pairedhead
