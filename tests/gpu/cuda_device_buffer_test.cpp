#include <cstdint>
#include <vector>

#include "gpu/device_buffer.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

class GuardedBufferTest : public DeviceFixture {};

void write(std::byte* at, cudaStream_t stream) { CUDA_CHECK(cudaMemsetAsync(at, 0, 1, stream)); }

TEST_F(GuardedBufferTest, ReturnsWhatItWasGivenAndKeepsItsGuards) {
  const Stream stream;
  GuardedBuffer buffer("q");
  const std::vector<unsigned char> contents = {1, 2, 3, 4, 5};
  buffer.reset(contents.data(), contents.size(), stream);
  std::vector<unsigned char> back(contents.size());
  buffer.download(back.data(), stream);
  EXPECT_EQ(back, contents);
  EXPECT_EQ(buffer.damage(stream), std::nullopt);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u);
}

TEST_F(GuardedBufferTest, NoticesOneByteOnEitherSide) {
  const Stream stream;
  GuardedBuffer buffer("q");
  buffer.reset(1000, stream);
  write(buffer.data(), stream);
  write(buffer.data() + 999, stream);
  EXPECT_EQ(buffer.damage(stream), std::nullopt);
  write(buffer.data() + 1000, stream);
  EXPECT_EQ(buffer.damage(stream), "q was written 0 bytes behind its 1000 bytes");
  buffer.reset(1000, stream);
  EXPECT_EQ(buffer.damage(stream), std::nullopt);
  write(buffer.data() - 1, stream);
  EXPECT_EQ(buffer.damage(stream), "q was written 1 bytes before its beginning");
}

TEST_F(GuardedBufferTest, ArrivesPoisonedWheneverItIsUsedAgain) {
  const Stream stream;
  GuardedBuffer buffer("y");
  for (const std::size_t bytes : {4000, 16, 70000}) {
    buffer.reset(bytes, stream);
    std::vector<unsigned char> contents(bytes, 0);
    buffer.download(contents.data(), stream);
    EXPECT_EQ(contents, std::vector<unsigned char>(bytes, 0xff));
    EXPECT_EQ(buffer.damage(stream), std::nullopt);
    CUDA_CHECK(cudaMemsetAsync(buffer.data(), 0, bytes, stream));
  }
}

}  // namespace
}  // namespace pairedhead::gpu
