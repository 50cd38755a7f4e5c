#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/emulated/qk_prepare.h"
#include "gpu/kernels/rotary_table.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

class CudaRotaryTable : public DeviceFixture {};

// Positions of validation, where theta reaches 5e5 radians and a fast sine would be noise.
TEST_F(CudaRotaryTable, IsBitwiseAtTheFarEnd) {
  const Stream stream;
  constexpr int tokens = 262144, head_dim = 16;
  std::vector<float> frequency(head_dim, 0);
  for (std::size_t d = 0; d < head_dim / 2; ++d) {
    const std::size_t pair = d / 2;
    frequency[d] = 1.0f / static_cast<float>(1 + pair);
  }
  Bits cosine(2 * tokens * head_dim), sine(cosine.size());
  emulated::rotary_table(frequency.data(), tokens, head_dim, true, cosine.data(), sine.data());

  const GuardedBuffer frequencies = upload(frequency, stream);
  GuardedBuffer device_cosine("cosine"), device_sine("sine");
  device_cosine.reset(cosine.size() * 2, stream);
  device_sine.reset(sine.size() * 2, stream);
  rotary_table(frequencies.as<float>(), tokens, head_dim, true, bf16(device_cosine),
               bf16(device_sine), stream);
  EXPECT_EQ(download(device_cosine, stream), cosine);
  EXPECT_EQ(download(device_sine, stream), sine);
}

TEST_F(CudaRotaryTable, RefusesWhatTheKernelCannotDo) {
  const auto table = [](int tokens, int head_dim) {
    rotary_table(nullptr, tokens, head_dim, false, nullptr, nullptr, nullptr);
  };
  EXPECT_THROW(table(0, 16), std::invalid_argument);
  EXPECT_THROW(table(4, 12), std::invalid_argument);
  EXPECT_THROW(table(4, 0), std::invalid_argument);
  EXPECT_THROW(table(4, 2056), std::invalid_argument);
}

}  // namespace
}  // namespace pairedhead::gpu
