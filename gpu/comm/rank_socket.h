#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace pairedhead::gpu {

using Clock = std::chrono::steady_clock;

// A TCP connection, closed with its owner. Nothing here throws for what the other side does.
class RankSocket {
 public:
  enum class Result { done, late, closed };

  RankSocket() = default;
  explicit RankSocket(int descriptor) : descriptor_(descriptor) {}
  ~RankSocket();
  RankSocket(RankSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RankSocket& operator=(RankSocket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  // Listens at the port on all of this machine's addresses. Throws InputError where it is taken.
  static RankSocket listen(std::uint16_t port);
  // The next that calls; not open where none did in time.
  RankSocket accept(Clock::time_point deadline) const;
  // Calls once; not open where nobody answers. Throws InputError on an address that does not exist.
  static RankSocket call(const std::string& address, std::uint16_t port);

  bool open() const { return descriptor_ >= 0; }
  // All of the bytes, or why not.
  Result send(std::span<const std::byte> bytes, Clock::time_point deadline) const;
  Result receive(std::span<std::byte> bytes, Clock::time_point deadline) const;
  // Whether the other side has closed, with nothing left to be read.
  bool closed_by_other() const;

 private:
  bool ready(short events, Clock::time_point deadline) const;

  int descriptor_ = -1;
};

}  // namespace pairedhead::gpu
