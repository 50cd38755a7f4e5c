#include <random>
#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/gate.h"
#include "gpu/kernels/residual.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

constexpr int tokens = 77, width = 96;
constexpr StreamShape shape = {tokens, width};

class CudaResidual : public DeviceFixture {
 protected:
  // What a layer's entry with a skip reads, and room for what it writes.
  struct Mix {
    explicit Mix(cudaStream_t stream)
        : x(upload(random_bits(tokens * width, 1), stream)),
          x0(upload(random_bits(tokens * width, 2), stream)),
          x_skip(upload(random_bits(tokens * width, 3), stream)),
          grad_mixed(upload(random_bits(tokens * width, 5), stream)),
          grad_a(upload(random_bits(tokens * width, 6), stream)),
          x0_before(upload(random_bits(tokens * width, 7), stream)),
          w(upload(random_bits(gate_channels, 8), stream)),
          scalars(upload(std::vector<float>{1.1f, 0.3f, -1.5f}, stream)),
          grad_scalars(upload(std::vector<float>(3), stream)),
          grad_x(upload(Bits(tokens * width), stream)),
          grad_x0(upload(Bits(tokens * width), stream)),
          grad_x_skip(upload(Bits(tokens * width), stream)),
          grad_w(upload(Bits(gate_channels), stream)),
          workspace(upload(std::vector<char>(residual_workspace_bytes(shape)), stream)) {}

    void backward(const GuardedBuffer& stream_x, const __nv_bfloat16* grad_of_a,
                  const GuardedBuffer& to_x, const GuardedBuffer& to_x0,
                  cudaStream_t stream) const {
      const float* const s = scalars.as<float>();
      float* const g = grad_scalars.as<float>();
      mix_norm_backward(
          shape, {bf16(stream_x), bf16(x0), {bf16(x_skip), bf16(w), s + 2}, s, s + 1},
          {bf16(grad_mixed), grad_of_a, nullptr, nullptr, bf16(x0_before)},
          {bf16(to_x), bf16(to_x0), g, g + 1, {bf16(grad_x_skip), bf16(grad_w), g + 2}},
          workspace.data(), stream);
    }

    // All gradients, wherever those of x and x0 have gone.
    std::vector<Bits> gradients(const GuardedBuffer& to_x, const GuardedBuffer& to_x0,
                                cudaStream_t stream) const {
      std::vector<Bits> all;
      for (const GuardedBuffer* buffer : {&to_x, &to_x0, &grad_x_skip, &grad_w, &grad_scalars}) {
        all.push_back(download(*buffer, stream));
      }
      return all;
    }

    GuardedBuffer x, x0, x_skip, grad_mixed, grad_a, x0_before, w, scalars;
    GuardedBuffer grad_scalars, grad_x, grad_x0, grad_x_skip, grad_w, workspace;
  };
};

// The trainer has one buffer for the stream's gradient and one for x0's.
TEST_F(CudaResidual, MixBackwardMayWriteOverWhatItReads) {
  const Stream stream;
  const Mix mix(stream);
  mix.backward(mix.x, bf16(mix.grad_a), mix.grad_x, mix.grad_x0, stream);
  const auto apart = mix.gradients(mix.grad_x, mix.grad_x0, stream);
  mix.backward(mix.x, bf16(mix.grad_a), mix.grad_mixed, mix.x0_before, stream);
  EXPECT_EQ(mix.gradients(mix.grad_mixed, mix.x0_before, stream), apart);
}

TEST_F(CudaResidual, MixBackwardTakesX0ForTheStream) {
  const Stream stream;
  const Mix mix(stream);
  const GuardedBuffer copy = upload(download(mix.x0, stream), stream);
  mix.backward(copy, bf16(mix.grad_a), mix.grad_x, mix.grad_x0, stream);
  const auto of_copy = mix.gradients(mix.grad_x, mix.grad_x0, stream);
  mix.backward(mix.x0, bf16(mix.grad_a), mix.grad_x, mix.grad_x0, stream);
  EXPECT_EQ(mix.gradients(mix.grad_x, mix.grad_x0, stream), of_copy);
}

TEST_F(CudaResidual, NoGradientIsOneOfZeros) {
  const Stream stream;
  const Mix mix(stream);
  const GuardedBuffer zeros = upload(Bits(tokens * width), stream);
  mix.backward(mix.x, bf16(zeros), mix.grad_x, mix.grad_x0, stream);
  const auto of_zeros = mix.gradients(mix.grad_x, mix.grad_x0, stream);
  mix.backward(mix.x, nullptr, mix.grad_x, mix.grad_x0, stream);
  EXPECT_EQ(mix.gradients(mix.grad_x, mix.grad_x0, stream), of_zeros);
}

TEST_F(CudaResidual, NormBackwardMayWriteOverTheResidual) {
  const Stream stream;
  const GuardedBuffer x = upload(random_bits(tokens * width, 1), stream);
  const GuardedBuffer grad_y = upload(random_bits(tokens * width, 2), stream);
  const GuardedBuffer residual = upload(random_bits(tokens * width, 3), stream);
  const GuardedBuffer grad_x = upload(Bits(tokens * width), stream);
  rms_norm_backward(shape, bf16(x), bf16(grad_y), bf16(residual), bf16(grad_x), stream);
  rms_norm_backward(shape, bf16(x), bf16(grad_y), bf16(residual), bf16(residual), stream);
  EXPECT_EQ(download(residual, stream), download(grad_x, stream));
}

TEST_F(CudaResidual, RefusesRowsThatNoWarpHolds) {
  for (const StreamShape bad : {StreamShape{0, 96}, StreamShape{4, 11}, StreamShape{4, 1032}}) {
    EXPECT_THROW(rms_norm_forward(bad, nullptr, nullptr, nullptr), std::invalid_argument);
    EXPECT_THROW(backout_norm_forward(bad, nullptr, nullptr, nullptr, nullptr, nullptr),
                 std::invalid_argument);
    EXPECT_THROW(mix_norm_forward(bad, {}, nullptr, nullptr, nullptr), std::invalid_argument);
  }
}

}  // namespace
}  // namespace pairedhead::gpu
