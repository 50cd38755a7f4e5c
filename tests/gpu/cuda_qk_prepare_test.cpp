#include <algorithm>
#include <random>
#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/qk_prepare.h"
#include "gpu/kernels/rotary_table.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

class CudaQkPrepare : public DeviceFixture {};

// The trainer's query and key lie inside u, [T, 3 * H * D]: a stride changes no bit of the result,
// and what lies between is not touched.
TEST_F(CudaQkPrepare, StridedInputsGiveTheBitsOfContiguousOnes) {
  const Stream stream;
  constexpr int tokens = 37, heads = 6, head_dim = 128, width = heads * head_dim;
  constexpr int wide = 3 * width;
  const Bits u = random_bits(tokens * wide, 1), grad = random_bits(2 * tokens * width, 2);
  Bits q(tokens * width), k(tokens * width);
  for (int t = 0; t < tokens; ++t) {
    std::copy_n(u.begin() + t * wide, width, q.begin() + t * width);
    std::copy_n(u.begin() + t * wide + width, width, k.begin() + t * width);
  }
  const std::vector<float> frequency(head_dim, 0.1f);
  const GuardedBuffer frequencies = upload(frequency, stream);
  GuardedBuffer cosine("cosine"), sine("sine");
  cosine.reset(2 * tokens * head_dim * 2, stream);
  sine.reset(2 * tokens * head_dim * 2, stream);
  rotary_table(frequencies.as<float>(), tokens, head_dim, true, bf16(cosine), bf16(sine), stream);

  const GuardedBuffer strided = upload(u, stream), contiguous_q = upload(q, stream),
                      contiguous_k = upload(k, stream), grads = upload(grad, stream);
  QkPrepareProblem problem = {.tokens = tokens,
                              .heads = heads,
                              .head_dim = head_dim,
                              .normalise = true,
                              .paired = true,
                              .shift_keys = true,
                              .stride_token_in = width};
  std::vector<Bits> forward, backward;
  for (const bool in_u : {false, true}) {
    problem.stride_token_in = in_u ? wide : width;
    const __nv_bfloat16* from_q = in_u ? bf16(strided) : bf16(contiguous_q);
    const __nv_bfloat16* from_k = in_u ? bf16(strided) + width : bf16(contiguous_k);
    const Bits poison(tokens * wide, 0x7fc1);
    const GuardedBuffer out = upload(poison, stream), grad_in = upload(poison, stream);
    qk_prepare_forward(problem, from_q, from_k, bf16(cosine), bf16(sine), bf16(out),
                       bf16(out) + tokens * width, stream);
    __nv_bfloat16* const to_q = bf16(grad_in);
    __nv_bfloat16* const to_k = in_u ? to_q + width : to_q + tokens * width;
    qk_prepare_backward(problem, from_q, from_k, bf16(cosine), bf16(sine), bf16(grads),
                        bf16(grads) + tokens * width, to_q, to_k, stream);
    forward.push_back(download(out, stream));
    backward.push_back(download(grad_in, stream));
  }
  EXPECT_EQ(forward[0], forward[1]);
  for (int t = 0; t < tokens; ++t) {
    for (int c = 0; c < width; ++c) {
      const auto at = [&](int which, int n) {
        return backward[static_cast<std::size_t>(which)][static_cast<std::size_t>(n)];
      };
      ASSERT_EQ(at(1, t * wide + c), at(0, t * width + c)) << "query " << t << ", " << c;
      ASSERT_EQ(at(1, t * wide + width + c), at(0, (tokens + t) * width + c))
          << "key " << t << ", " << c;
      ASSERT_EQ(at(1, t * wide + 2 * width + c), 0x7fc1) << "value " << t << ", " << c;
    }
  }
}

TEST_F(CudaQkPrepare, RefusesWhatTheKernelsCannotDo) {
  const auto prepare = [](QkPrepareProblem problem) {
    qk_prepare_forward(problem, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  };
  const QkPrepareProblem good = {.tokens = 4,
                                 .heads = 2,
                                 .head_dim = 16,
                                 .normalise = true,
                                 .paired = false,
                                 .shift_keys = false,
                                 .stride_token_in = 32};
  QkPrepareProblem problem = good;
  problem.tokens = 0;
  EXPECT_THROW(prepare(problem), std::invalid_argument);
  problem = good;
  problem.head_dim = 20;
  EXPECT_THROW(prepare(problem), std::invalid_argument);
  problem = good;
  problem.stride_token_in = 24;
  EXPECT_THROW(prepare(problem), std::invalid_argument);
}

}  // namespace
}  // namespace pairedhead::gpu
