#pragma once

#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "gpu/device.h"
#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"

namespace pairedhead::gpu {

// Tests that need a device are skipped, with the reason, where there is none.
class DeviceFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = unusable(probe_device())) GTEST_SKIP() << "needs a GPU: " << *reason;
    require_device();
  }
};

using Bits = std::vector<std::uint16_t>;  // of bf16

// About standard normal.
inline Bits random_bits(std::size_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Bits bits(size);
  for (auto& x : bits) x = emulated::to_bf16(normal(generator));
  return bits;
}

template <class T>
GuardedBuffer upload(const std::vector<T>& contents, cudaStream_t stream) {
  GuardedBuffer buffer("upload");
  buffer.reset(contents.data(), contents.size() * sizeof(T), stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  return buffer;
}

// What a buffer holds; its guard zones must be intact.
template <class T = std::uint16_t>
std::vector<T> download(const GuardedBuffer& buffer, cudaStream_t stream) {
  std::vector<T> contents(buffer.bytes() / sizeof(T));
  buffer.download(contents.data(), stream);
  EXPECT_EQ(buffer.damage(stream), std::nullopt);
  return contents;
}

inline __nv_bfloat16* bf16(const GuardedBuffer& buffer) { return buffer.as<__nv_bfloat16>(); }

}  // namespace pairedhead::gpu
