#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "gpu/device_buffer.h"

namespace pairedhead::gpu {

// Cuts the buffers of one lifetime from one allocation, in order. What cuts them is a
// function that is called twice: first with an arena that only counts, then with one that has the
// room.
class Arena {
 public:
  static constexpr std::size_t alignment = 256;

  // Counts; what it cuts has no address.
  Arena() = default;
  // Cuts from `memory`, which must outlive what is cut.
  explicit Arena(const DeviceMemory& memory) : memory_(memory.data()), bytes_(memory.bytes()) {}

  // Room for `count` elements, 256-byte aligned, contents undefined. Throws std::logic_error where
  // more is cut than was counted.
  template <class T>
  T* take(std::int64_t count) {
    const std::size_t bytes =
        (static_cast<std::size_t>(count) * sizeof(T) + alignment - 1) / alignment * alignment;
    const std::size_t offset = used_;
    used_ += bytes;
    if (memory_ == nullptr) return nullptr;
    if (used_ > bytes_) throw std::logic_error("Arena: cut more than was counted");
    return reinterpret_cast<T*>(memory_ + offset);
  }

  std::size_t used() const { return used_; }

 private:
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0, used_ = 0;
};

}  // namespace pairedhead::gpu
