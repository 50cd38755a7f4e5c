#pragma once

#include <cstdint>

namespace pairedhead::gpu {

// Whether accesses of 16 bytes, the widest there are, may begin at every one of these addresses.
template <class... Pointers>
bool aligned_to_16(const Pointers*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace pairedhead::gpu
