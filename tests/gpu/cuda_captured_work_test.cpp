#include <stdexcept>

#include "gpu/captured_work.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

class CudaCapturedWork : public DeviceFixture {};

// A copy from here to there on the device, and how often it was enqueued.
class Copy {
 public:
  // What is there after the work, of which a copy of `value` is to be made.
  std::vector<std::uint8_t> of(std::uint8_t value, CapturedWork<int>& work, int key) {
    CUDA_CHECK(cudaMemsetAsync(here_.data(), value, here_.bytes(), stream_));
    work.run(key, stream_, [&] {
      ++enqueued_;
      CUDA_CHECK(cudaMemcpyAsync(there_.data(), here_.data(), here_.bytes(),
                                 cudaMemcpyDeviceToDevice, stream_));
    });
    return download<std::uint8_t>(there_, stream_);
  }

  int enqueued() const { return enqueued_; }
  cudaStream_t stream() const { return stream_; }
  static std::vector<std::uint8_t> expected(std::uint8_t value) {
    return std::vector<std::uint8_t>(1000, value);
  }

 private:
  const Stream stream_;
  const GuardedBuffer here_ = upload(expected(0), stream_);
  const GuardedBuffer there_ = upload(expected(0), stream_);
  int enqueued_ = 0;
};

TEST_F(CudaCapturedWork, IsEnqueuedTwiceAndDoneEveryTime) {
  CapturedWork<int> work;
  Copy copy;
  for (std::uint8_t run = 1; run <= 5; ++run) {
    EXPECT_EQ(copy.of(run, work, 7), Copy::expected(run));
    EXPECT_EQ(copy.enqueued(), run == 1 ? 1 : 2);
  }
}

TEST_F(CudaCapturedWork, BeginsAnewWithAnotherKey) {
  CapturedWork<int> work;
  Copy copy;
  std::vector<int> enqueued;
  for (const int key : {1, 1, 1, 2, 2, 2, 1}) {
    copy.of(0, work, key);
    enqueued.push_back(copy.enqueued());
  }
  EXPECT_EQ(enqueued, (std::vector<int>{1, 2, 2, 3, 4, 4, 5}));
}

TEST_F(CudaCapturedWork, LeavesTheStreamUsableWhereTheWorkThrows) {
  CapturedWork<int> work;
  Copy copy;
  copy.of(1, work, 1);
  EXPECT_THROW(work.run(1, copy.stream(), [] { throw std::runtime_error("no"); }),
               std::runtime_error);
  EXPECT_EQ(copy.of(9, work, 1), Copy::expected(9));
}

}  // namespace
}  // namespace pairedhead::gpu
