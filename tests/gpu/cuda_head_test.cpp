#include <cmath>
#include <limits>
#include <vector>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/head.h"
#include "gpu/kernels/softcap_loss.h"
#include "reference/fp8.h"
#include "tests/gpu/device_fixture.h"
#include "tools/record/gpu_accumulator.h"

namespace pairedhead::gpu {
namespace {

using Bytes = std::vector<std::uint8_t>;

class CudaHead : public DeviceFixture {
 protected:
  GuardedBuffer room(const char* name, std::size_t bytes) {
    GuardedBuffer buffer(name);
    buffer.reset(bytes, stream());
    return buffer;
  }
  const Stream& stream() {
    static const Stream one;
    return one;
  }
};

// Every bf16 there is, in tiles and in shapes that are none.
TEST_F(CudaHead, QuantisesEveryBf16InBothLayouts) {
  struct Setting {
    int rows, columns;
    float scale;
  };
  const auto [activation, weight, gradient] = fp8_scales();
  for (const auto& [rows, columns, scale] : {Setting{256, 256, activation},
                                             {128, 512, weight},
                                             {257, 256, gradient},
                                             {241, 272, 1},
                                             {512, 128, 0x1p-30f / 3},
                                             {255, 258, 1e5f},
                                             // Products with these reciprocals miss codes.
                                             {256, 256, 7},
                                             {128, 512, 129.0f / 23}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << columns << ", scale " << scale);
    Bits x(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint16_t>(i);
    const GuardedBuffer matrix = upload(x, stream());
    for (const DType format : {DType::e4m3, DType::e5m2}) {
      const GuardedBuffer codes = room("codes", x.size()), other = room("transposed", x.size());
      (format == DType::e4m3 ? quantise_both_ways : quantise_e5m2_both_ways)(
          matrix.as<__nv_bfloat16>(), rows, columns, scale, codes.as<std::uint8_t>(),
          other.as<std::uint8_t>(), stream());
      const Bytes got = download<std::uint8_t>(codes, stream()),
                  turned = download<std::uint8_t>(other, stream());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t row = i / static_cast<std::size_t>(columns);
        const std::size_t column = i % static_cast<std::size_t>(columns);
        const float quotient = emulated::from_bf16(x[i]) / scale;
        const std::uint8_t wanted = to_fp8_bits(format, static_cast<double>(quotient));
        ASSERT_EQ(got[i], wanted) << "bf16 " << x[i];
        ASSERT_EQ(turned[column * static_cast<std::size_t>(rows) + row], wanted) << "bf16 " << x[i];
      }
    }
  }
}

class CudaLoss : public CudaHead {
 protected:
  struct Result {
    std::vector<float> logsumexp, token_losses;
    float loss, next_token_loss;
    Bits gradient;
  };

  Result run(const Bits& z, const std::vector<std::int32_t>& targets,
             const std::vector<float>& weights) {
    const LossShape shape = {static_cast<int>(targets.size()),
                             static_cast<int>(z.size() / targets.size())};
    const GuardedBuffer logits = upload(z, stream()), wanted = upload(targets, stream()),
                        mtp_weights = upload(weights, stream()),
                        grad_loss = upload(std::vector<float>{1}, stream()),
                        logsumexp = room("logsumexp", targets.size() * sizeof(float)),
                        tokens = room("token_losses", targets.size() * sizeof(float)),
                        sums = room("sums", 2 * sizeof(float)),
                        workspace = room("workspace", softcap_loss_workspace_bytes(shape)),
                        grad_z = room("grad_z", z.size() * 2);
    const LossSettings settings = {.mtp_weights = mtp_weights.as<float>(),
                                   .horizons = static_cast<int>(weights.size()),
                                   .validation = false};
    softcap_loss_forward(shape, logits.as<__nv_bfloat16>(), wanted.as<std::int32_t>(), settings,
                         {.logsumexp = logsumexp.as<float>(),
                          .loss = sums.as<float>(),
                          .next_token_loss = sums.as<float>() + 1,
                          .token_losses = tokens.as<float>()},
                         workspace.data(), stream());
    softcap_loss_backward(shape, logits.as<__nv_bfloat16>(), logsumexp.as<float>(),
                          wanted.as<std::int32_t>(), settings, grad_loss.as<float>(),
                          grad_z.as<__nv_bfloat16>(), stream());
    const auto both = download<float>(sums, stream());
    return {download<float>(logsumexp, stream()), download<float>(tokens, stream()), both[0],
            both[1], download(grad_z, stream())};
  }
};

// A trainer stops on a loss that is not finite: one NaN among the logits has to reach it, whether
// the row is read in vectors or not.
TEST_F(CudaLoss, NanReachesTheLoss) {
  for (const std::size_t vocabulary : {24u, 23u}) {
    Bits z(2 * vocabulary, emulated::to_bf16(0.5f));
    z[vocabulary + 13] = 0x7fc0;
    const Result result = run(z, {1, 2}, {1});
    EXPECT_TRUE(std::isfinite(result.logsumexp[0]));
    EXPECT_TRUE(std::isnan(result.logsumexp[1]));
    EXPECT_TRUE(std::isnan(result.loss));
    EXPECT_TRUE(std::isnan(emulated::from_bf16(result.gradient[vocabulary])));
  }
}

// The softcap's ends: e^23 for one logit, e^0 for all others, however far out they are.
TEST_F(CudaLoss, InfiniteLogitsAreTheEndsOfTheCap) {
  for (const float far : {1e4f, 1e30f, std::numeric_limits<float>::infinity()}) {
    Bits z(48, emulated::to_bf16(-far));
    z[5] = emulated::to_bf16(far);
    const Result result = run(z, {5}, {1});
    EXPECT_NEAR(result.logsumexp[0], 23 + std::log1p(47 * std::exp(-23.0)), 1e-5);
    EXPECT_NEAR(result.loss, 47 * std::exp(-23.0), 1e-5);
    for (const std::uint16_t bits : result.gradient) {
      EXPECT_LT(std::fabs(emulated::from_bf16(bits)), 1e-30f);
    }
  }
}

// The loss of every token beside their sum.
TEST_F(CudaLoss, TheFirstHorizonIsGivenApart) {
  Bits z(40 * 64);
  for (std::size_t i = 0; i < z.size(); ++i) {
    z[i] = emulated::to_bf16(static_cast<float>(i * 37 % 101) / 10 - 5);
  }
  std::vector<std::int32_t> targets(40);
  for (std::size_t t = 0; t < targets.size(); ++t) {
    targets[t] = static_cast<std::int32_t>(t * 7 % 64);
  }
  const Result one = run(z, targets, {1}), three = run(z, targets, {1, 0.5f, 0.25f});
  EXPECT_EQ(one.loss, one.next_token_loss);
  EXPECT_EQ(three.next_token_loss, one.loss);
  EXPECT_EQ(three.token_losses, one.token_losses);
  EXPECT_GT(three.loss, one.loss);
  double sum = 0;
  for (const float loss : one.token_losses) sum += static_cast<double>(loss);
  EXPECT_NEAR(static_cast<double>(one.loss), sum, 1e-6 * sum);
}

TEST_F(CudaHead, MatrixUnitsKeepTheBitsThatTheErrorScaleStandsOn) {
  const RecordedCheck check = check_fp8_accumulator();
  EXPECT_TRUE(check.passed) << check.finding;
}

}  // namespace
}  // namespace pairedhead::gpu
