#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/gate.h"
#include "gpu/kernels/gates.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

constexpr int tokens = 77, heads = 6, head_dim = 64, width = heads * head_dim;
constexpr int wide = 3 * width;
constexpr GateShape shape = {tokens, heads, head_dim, width};

class CudaGates : public DeviceFixture {
 protected:
  const Bits a_ = random_bits(tokens * width, 1), w_ = random_bits(heads * gate_channels, 2);
  const Bits u_ = random_bits(tokens * width, 3), g_ = random_bits(tokens * width, 4);
  const Bits poison_ = Bits(tokens * width, 0x7fc1);
};

// The trainer's values lie inside u, [T, 3 * H * D], and so does their gradient.
TEST_F(CudaGates, StridedValuesGiveTheBitsOfContiguousOnes) {
  const Stream stream;
  Bits in_u(tokens * wide, 0x7fc1), grad_in_u = in_u;
  for (int t = 0; t < tokens; ++t) {
    std::copy_n(u_.begin() + t * width, width, in_u.begin() + t * wide + 2 * width);
    std::copy_n(g_.begin() + t * width, width, grad_in_u.begin() + t * wide + 2 * width);
  }
  const auto a = upload(a_, stream), w = upload(w_, stream), ve = upload(g_, stream);
  const auto v = upload(u_, stream), v_in_u = upload(in_u, stream);
  const auto g = upload(g_, stream), g_in_u = upload(grad_in_u, stream);
  const DeviceMemory workspace(gate_workspace_bytes(shape));
  std::vector<Bits> mixed, grad_ve, grad_w;
  std::vector<std::vector<float>> grad_a;
  for (const bool strided : {false, true}) {
    const auto out = upload(poison_, stream), out_ve = upload(poison_, stream);
    const auto out_w = upload(Bits(w_.size(), 0x7fc1), stream);
    const auto out_a = upload(std::vector<float>(tokens * gate_channels, NAN), stream);
    const std::int64_t stride = strided ? wide : width;
    value_mix_forward(shape, strided ? bf16(v_in_u) + 2 * width : bf16(v), stride, bf16(ve),
                      bf16(a), bf16(w), bf16(out), stream);
    value_mix_backward(shape, strided ? bf16(g_in_u) + 2 * width : bf16(g), stride, bf16(ve),
                       bf16(a), bf16(w), nullptr, bf16(out_ve), bf16(out_w), out_a.as<float>(),
                       false, workspace.data(), stream);
    mixed.push_back(download(out, stream));
    grad_ve.push_back(download(out_ve, stream));
    grad_w.push_back(download(out_w, stream));
    grad_a.push_back(download<float>(out_a, stream));
  }
  EXPECT_EQ(mixed[0], mixed[1]);
  EXPECT_EQ(grad_ve[0], grad_ve[1]);
  EXPECT_EQ(grad_w[0], grad_w[1]);
  EXPECT_EQ(grad_a[0], grad_a[1]);
  EXPECT_TRUE(std::all_of(grad_a[0].begin(), grad_a[0].end(), [](float x) { return x == x; }));
}

// What is there before is added in fp32: of one token and a gate of one half that gives 2 * 1/2 * g
// to the table, so that the sum is exact before it is rounded.
TEST_F(CudaGates, AddsToWhatIsThereBefore) {
  const Stream stream;
  const Bits zeros(w_.size(), 0);
  const auto a = upload(a_, stream), w = upload(zeros, stream), ve = upload(u_, stream);
  const auto g = upload(g_, stream), grad_ve = upload(u_, stream);
  const auto grad_w = upload(Bits(w_.size(), 0x7fc1), stream);
  const DeviceMemory workspace(gate_workspace_bytes(shape));
  std::vector<float> before(tokens * gate_channels);
  for (std::size_t i = 0; i < before.size(); ++i) before[i] = static_cast<float>(i);
  const auto grad_a = upload(before, stream);
  value_mix_backward(shape, bf16(g), width, bf16(ve), bf16(a), bf16(w), bf16(grad_ve),
                     bf16(grad_ve), bf16(grad_w), grad_a.as<float>(), true, workspace.data(),
                     stream);
  const Bits got = download(grad_ve, stream);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const float sum = emulated::from_bf16(u_[i]) + emulated::from_bf16(g_[i]);
    ASSERT_EQ(got[i], emulated::to_bf16(sum)) << i;
  }
  // Weights of zero: nothing reaches a.
  EXPECT_EQ(download<float>(grad_a, stream), before);

  // And the weights' own: what accumulates is what would be there alone, on top.
  const auto random_w = upload(w_, stream);
  const auto alone = upload(before, stream);
  const auto on_top = upload(before, stream);
  const auto grad_y = upload(poison_, stream);
  for (const auto* to : {&alone, &on_top}) {
    output_gate_backward(shape, bf16(g), bf16(ve), bf16(a), bf16(random_w), bf16(grad_y),
                         bf16(grad_w), to->as<float>(), to == &on_top, workspace.data(), stream);
  }
  const auto alone_values = download<float>(alone, stream);
  const auto sums = download<float>(on_top, stream);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    ASSERT_EQ(sums[i], before[i] + alone_values[i]) << i;
  }
}

TEST_F(CudaGates, WritesTheGradientOverTheIncomingOne) {
  const Stream stream;
  const auto a = upload(a_, stream), w = upload(w_, stream), y = upload(u_, stream);
  const auto g = upload(g_, stream), grad_y = upload(poison_, stream);
  const auto grad_w = upload(Bits(w_.size(), 0x7fc1), stream);
  const DeviceMemory workspace(gate_workspace_bytes(shape));
  const DeviceMemory grad_a(tokens * gate_channels * sizeof(float));
  auto* const to_a = reinterpret_cast<float*>(grad_a.data());
  output_gate_backward(shape, bf16(g), bf16(y), bf16(a), bf16(w), bf16(grad_y), bf16(grad_w), to_a,
                       false, workspace.data(), stream);
  const Bits apart = download(grad_y, stream), weights = download(grad_w, stream);
  output_gate_backward(shape, bf16(g), bf16(y), bf16(a), bf16(w), bf16(g), bf16(grad_w), to_a,
                       false, workspace.data(), stream);
  EXPECT_EQ(download(g, stream), apart);
  EXPECT_EQ(download(grad_w, stream), weights);
}

TEST_F(CudaGates, RefusesWhatTheKernelsCannotDo) {
  const auto gate = [](const GateShape& bad) {
    output_gate_forward(bad, nullptr, nullptr, nullptr, nullptr, nullptr);
  };
  EXPECT_THROW(gate({0, 2, 16, 32}), std::invalid_argument);
  EXPECT_THROW(gate({4, 2, 20, 40}), std::invalid_argument);
  EXPECT_THROW(gate({4, 1, 16, 8}), std::invalid_argument);
  EXPECT_THROW(
      value_mix_forward({4, 2, 16, 32}, nullptr, 36, nullptr, nullptr, nullptr, nullptr, nullptr),
      std::invalid_argument);
}

}  // namespace
}  // namespace pairedhead::gpu
