#include "tools/targets/gpu_case.h"

#include "tools/targets/target.h"

namespace pairedhead {

GpuCase::GpuCase(GpuMemory& memory, const Parameters& parameters, const Arrays& inputs,
                 const Arrays& outputs)
    : memory_(memory), parameters_(parameters), inputs_(inputs), outputs_(outputs) {
  for (const Arrays* arrays : {&inputs, &outputs}) {
    for (const auto& [name, array] : *arrays) {
      memory.buffer(name).reset(array.bytes.data(), array.bytes.size(), memory.stream);
      in_use_.push_back(name);
    }
  }
  memory.stream.synchronize();
}

void* GpuCase::scratch(const std::string& name, std::size_t bytes) {
  gpu::GuardedBuffer& buffer = memory_.buffer("scratch/" + name);
  buffer.reset(bytes, memory_.stream);
  memory_.stream.synchronize();
  in_use_.push_back("scratch/" + name);
  return buffer.data();
}

void* GpuCase::scratch(const std::string& name, const void* contents, std::size_t bytes) {
  gpu::GuardedBuffer& buffer = memory_.buffer("scratch/" + name);
  buffer.reset(contents, bytes, memory_.stream);
  memory_.stream.synchronize();
  in_use_.push_back("scratch/" + name);
  return buffer.data();
}

void GpuCase::convert(const std::string& key, std::size_t device_bytes, const Convert& to_device,
                      Convert to_host) {
  const Array& array = outputs_.at(key);
  std::vector<std::byte> bytes(device_bytes);
  to_device(array.bytes.data(), bytes.data());
  memory_.buffer(key).reset(bytes.data(), bytes.size(), memory_.stream);
  memory_.stream.synchronize();  // bytes have been copied
  to_host_[key] = std::move(to_host);
}

void GpuCase::collect(Arrays& outputs) {
  memory_.stream.synchronize();
  for (auto& [name, array] : outputs) {
    const auto converted = to_host_.find(name);
    if (converted == to_host_.end()) {
      memory_.buffer(name).download(array.bytes.data(), memory_.stream);
      continue;
    }
    const gpu::GuardedBuffer& buffer = memory_.buffer(name);
    std::vector<std::byte> bytes(buffer.bytes());
    buffer.download(bytes.data(), memory_.stream);
    converted->second(bytes.data(), array.bytes.data());
  }
}

void GpuCase::check_untouched() {
  for (const std::string& name : in_use_) {
    if (const auto damage = memory_.buffer(name).damage(memory_.stream)) {
      throw GuardError("gpu: " + *damage);
    }
  }
  for (const auto& [name, array] : inputs_) {
    std::vector<std::byte> bytes(array.bytes.size());
    memory_.buffer(name).download(bytes.data(), memory_.stream);
    if (bytes != array.bytes) throw GuardError("gpu: input " + name + " was changed");
  }
}

}  // namespace pairedhead
