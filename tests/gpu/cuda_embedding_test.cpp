#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/embedding.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

using Tokens = std::vector<std::int32_t>;

// As text has them: a token that makes up a twentieth, many that occur often, most never.
Tokens text(int count, int vocabulary, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  Tokens tokens;
  for (int t = 0; t < count; ++t) {
    const double rank = std::pow(static_cast<double>(vocabulary), uniform(generator));
    const bool frequent = uniform(generator) < 0.05;
    tokens.push_back(frequent ? vocabulary / 2 : static_cast<int>(rank) - 1);
  }
  return tokens;
}

class CudaEmbedding : public DeviceFixture {
 protected:
  // Not before the fixture has seen a device.
  void SetUp() override {
    DeviceFixture::SetUp();
    if (!IsSkipped()) stream_ = own_stream_.emplace();
  }

  // The order in which scatter_rows adds.
  GuardedBuffer sorted(const EmbeddingShape& shape, const GuardedBuffer& tokens,
                       const GuardedBuffer& workspace) const {
    GuardedBuffer order = upload(std::vector<char>(token_order_bytes(shape), -1), stream_);
    sort_tokens(shape, tokens.as<std::int32_t>(), order.data(), workspace.data(), stream_);
    return order;
  }
  GuardedBuffer workspace_of(const EmbeddingShape& shape) const {
    return upload(std::vector<char>(embedding_workspace_bytes(shape)), stream_);
  }

  std::optional<Stream> own_stream_;
  cudaStream_t stream_ = nullptr;
};

TEST_F(CudaEmbedding, EqualTokensStayInTheOrderOfTheText) {
  for (const auto& [count, vocabulary] :
       {std::pair{1, 1}, {5000, 2}, {300, 257}, {3000, 70000}, {49152, 50304}, {300000, 50304}}) {
    const EmbeddingShape shape = {count, 16, vocabulary};
    const Tokens tokens = text(count, vocabulary, 1);
    std::vector<std::pair<int, int>> expected;
    std::vector<bool> named(static_cast<std::size_t>(vocabulary));
    for (const int token : tokens) {
      expected.emplace_back(token, static_cast<int>(expected.size()));
      named[static_cast<std::size_t>(token)] = true;
    }
    std::sort(expected.begin(), expected.end());
    const GuardedBuffer workspace = workspace_of(shape), on_device = upload(tokens, stream_);
    const GuardedBuffer order = sorted(shape, on_device, workspace);
    const auto words = download<std::int32_t>(order, stream_);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_EQ(std::pair(words[2 * i], words[2 * i + 1]), expected[i]) << count << " at " << i;
    }
    for (std::size_t row = 0; row < named.size(); ++row) {
      const auto word = static_cast<std::uint32_t>(words[2 * tokens.size() + row / 32]);
      ASSERT_EQ((word >> row % 32 & 1u) != 0, named[row]) << vocabulary << " row " << row;
    }
    EXPECT_EQ(workspace.damage(stream_), std::nullopt);
  }
}

// The smear's backward sorts aside, on fewer multiprocessors, so that a thread has more tokens. The
// last text is more than it holds at once.
TEST_F(CudaEmbedding, TheSmearLeavesTheOrderOfTheSort) {
  for (const int count : {1, 300, 16384, 24581, 49152, 120001}) {
    const EmbeddingShape shape = {count, 16, 50304};
    const auto elements = static_cast<std::size_t>(count) * 16;
    const GuardedBuffer tokens = upload(text(count, shape.vocabulary, 4), stream_);
    const GuardedBuffer table = upload(random_bits(50304 * 16, 5), stream_);
    const GuardedBuffer w = upload(random_bits(12, 6), stream_);
    const GuardedBuffer lam = upload(std::vector<float>{0.5f}, stream_);
    const GuardedBuffer grad_x0 = upload(random_bits(elements, 7), stream_);
    const GuardedBuffer grad_e = upload(Bits(elements), stream_),
                        grad_w = upload(Bits(12), stream_);
    const GuardedBuffer grad_lam = upload(std::vector<float>{0}, stream_);
    const GuardedBuffer order = upload(std::vector<char>(token_order_bytes(shape), -1), stream_);
    const GuardedBuffer workspace = workspace_of(shape);
    embed_smear_norm_backward(shape, tokens.as<std::int32_t>(), bf16(table), bf16(w),
                              lam.as<float>(), bf16(grad_x0), nullptr, bf16(grad_e), bf16(grad_w),
                              grad_lam.as<float>(), order.data(), workspace.data(), stream_);
    const GuardedBuffer expected = sorted(shape, tokens, workspace);
    EXPECT_EQ(download<std::int32_t>(order, stream_), download<std::int32_t>(expected, stream_))
        << count;
    EXPECT_EQ(order.damage(stream_), std::nullopt);
    EXPECT_EQ(workspace.damage(stream_), std::nullopt);
  }
}

// Small integers, whose sums are exact in any order: runs of thousands of rows, runs that end where
// a warp's share does, and rows that nobody names.
TEST_F(CudaEmbedding, ScattersSumsOfIntegersExactly) {
  for (const int width : {264, 13}) {
    const EmbeddingShape shape = {20011, width, 1000};
    Tokens tokens = text(shape.tokens, shape.vocabulary, 2);
    std::fill_n(tokens.begin() + 300, 64, shape.vocabulary - 1);
    std::mt19937 generator(3);
    std::uniform_int_distribution<int> digit(-2, 3);
    Bits rows(static_cast<std::size_t>(shape.tokens * width));
    Bits before(static_cast<std::size_t>(shape.vocabulary * width));
    for (Bits* bits : {&rows, &before}) {
      for (auto& x : *bits) x = emulated::to_bf16(static_cast<float>(digit(generator)));
    }
    const GuardedBuffer workspace = workspace_of(shape), on_device = upload(tokens, stream_);
    const GuardedBuffer order = sorted(shape, on_device, workspace);
    const GuardedBuffer grad_rows = upload(rows, stream_);
    for (const bool overwrite : {true, false}) {
      std::vector<float> sums(before.size());
      for (std::size_t i = 0; i < sums.size() && !overwrite; ++i) {
        sums[i] = emulated::from_bf16(before[i]);
      }
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        for (int c = 0; c < width; ++c) {
          sums[static_cast<std::size_t>(tokens[t] * width + c)] += emulated::from_bf16(
              rows[t * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)]);
        }
      }
      Bits expected(sums.size());
      std::transform(sums.begin(), sums.end(), expected.begin(), emulated::to_bf16);
      const GuardedBuffer grad_table = upload(before, stream_);
      const TableGradient gradient = {bf16(grad_rows), overwrite, bf16(grad_table)};
      scatter_rows(shape, order.data(), {&gradient, 1}, workspace.data(), stream_);
      EXPECT_EQ(download<std::uint16_t>(grad_table, stream_), expected) << width << overwrite;
    }
  }
}

TEST_F(CudaEmbedding, RefusesMoreTablesThanThereAre) {
  const std::vector<TableGradient> many(most_tables + 1);
  const auto scatter = [](std::span<const TableGradient> gradients) {
    scatter_rows({1, 16, 1}, nullptr, gradients, nullptr, nullptr);
  };
  EXPECT_THROW(scatter(many), std::invalid_argument);
  EXPECT_THROW(scatter({}), std::invalid_argument);
}

}  // namespace
}  // namespace pairedhead::gpu
