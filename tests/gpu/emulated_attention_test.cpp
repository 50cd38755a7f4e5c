#include <gtest/gtest.h>

#include <random>

#include "gpu/emulated/attention.h"
#include "gpu/emulated/bf16.h"
#include "tests/gpu/naive_attention.h"

namespace pairedhead::gpu::emulated {
namespace {

using testing::Matrix;
using testing::NaiveAttention;

struct Shape {
  const char* name;
  std::vector<std::int32_t> cu_seqlens;
  int heads, head_dim, window;
  bool paired, adjacent;
};

struct Tensors {
  std::vector<std::uint16_t> q, k, v, y, grad_y, grad_q, grad_k, grad_v;
  std::vector<float> logsumexp;
};

class Case {
 public:
  Case(const Shape& shape, std::uint64_t order_seed)
      : shape_(shape),
        problem_{.tokens = shape.cu_seqlens.back(),
                 .rows_per_token = shape.paired ? 2 : 1,
                 .slots = shape.paired ? shape.heads / 2 : shape.heads,
                 .head_dim = shape.head_dim,
                 .window = shape.window,
                 .softmax_scale = 0.1f,
                 .cu_seqlens = shape.cu_seqlens.data(),
                 .entries = static_cast<int>(shape.cu_seqlens.size()),
                 .order_seed = order_seed} {
    std::mt19937 generator(7);
    std::normal_distribution<float> normal;
    const auto size = static_cast<std::size_t>(problem_.tokens) * static_cast<std::size_t>(width());
    for (auto* tensor : {&tensors.q, &tensors.k, &tensors.v, &tensors.grad_y}) {
      for (std::size_t i = 0; i < size; ++i) tensor->push_back(to_bf16(normal(generator)));
    }
    const std::uint16_t poison = 0x7fc0;  // NaN
    for (auto* tensor : {&tensors.y, &tensors.grad_q, &tensors.grad_k, &tensors.grad_v}) {
      tensor->assign(size, poison);
    }
    tensors.logsumexp.assign(size / static_cast<std::size_t>(shape.head_dim), NAN);
  }

  void run() {
    attention_forward(problem_, view(tensors.q), view(tensors.k), view(tensors.v), view(tensors.y),
                      tensors.logsumexp.data());
    attention_backward(problem_, view(tensors.q), view(tensors.k), view(tensors.v), view(tensors.y),
                       tensors.logsumexp.data(), view(tensors.grad_y), view(tensors.grad_q),
                       view(tensors.grad_k), view(tensors.grad_v));
  }

  // Head of a flat row of a slot, by the definition of the pairings.
  int head(int row, int slot) const {
    if (!shape_.paired) return slot;
    return shape_.adjacent ? 2 * slot + row % 2 : (row % 2) * (shape_.heads / 2) + slot;
  }

  // [rows, head_dim] of one slot.
  Matrix slot(const std::vector<std::uint16_t>& tensor, int slot) const {
    Matrix matrix;
    for (int row = 0; row < rows(); ++row) {
      const int begin =
          (row / problem_.rows_per_token) * width() + head(row, slot) * shape_.head_dim;
      for (int d = 0; d < shape_.head_dim; ++d) {
        matrix.push_back(from_bf16(tensor[static_cast<std::size_t>(begin + d)]));
      }
    }
    return matrix;
  }

  NaiveAttention expected(int n) const {
    std::vector<int> document;
    for (std::size_t i = 0; i + 1 < shape_.cu_seqlens.size(); ++i) {
      const int length = shape_.cu_seqlens[i + 1] - shape_.cu_seqlens[i];
      document.insert(document.end(), static_cast<std::size_t>(length * problem_.rows_per_token),
                      static_cast<int>(i));
    }
    return testing::naive_attention(slot(tensors.q, n), slot(tensors.k, n), slot(tensors.v, n),
                                    slot(tensors.grad_y, n), document, shape_.window,
                                    static_cast<double>(problem_.softmax_scale), shape_.head_dim);
  }

  int slots() const { return problem_.slots; }
  int rows() const { return problem_.tokens * problem_.rows_per_token; }

  Tensors tensors;

 private:
  int width() const { return shape_.heads * shape_.head_dim; }
  HeadView view(std::vector<std::uint16_t>& tensor) const {
    const int half = shape_.heads / 2 * shape_.head_dim;
    return {.data = tensor.data(),
            .stride_token = width(),
            .stride_row = shape_.adjacent ? shape_.head_dim : half,
            .stride_slot = shape_.adjacent ? 2 * shape_.head_dim : shape_.head_dim};
  }

  Shape shape_;
  AttentionProblem problem_;
};

void expect_within(const char* what, const Matrix& got, const testing::Bounded& wanted) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - wanted.value[i]), wanted.bound[i])
        << what << " element " << i << ": got " << got[i] << ", wanted " << wanted.value[i];
  }
}

class EmulatedAttention : public ::testing::TestWithParam<Shape> {};

TEST_P(EmulatedAttention, AgreesWithDenseAttentionInDouble) {
  Case c(GetParam(), 11);
  c.run();
  for (int n = 0; n < c.slots(); ++n) {
    const NaiveAttention expected = c.expected(n);
    for (int row = 0; row < c.rows(); ++row) {
      const double wanted = expected.logsumexp[static_cast<std::size_t>(row)];
      const float got = c.tensors.logsumexp[static_cast<std::size_t>(n * c.rows() + row)];
      // fp32 sums of head_dim products and of the row, on values of the score's size.
      ASSERT_LE(std::abs(got - wanted), (c.rows() + 256) * 0x1p-22 * (1 + std::abs(wanted)))
          << "logsumexp of slot " << n << " row " << row;
    }
    expect_within("y", c.slot(c.tensors.y, n), expected.y);
    expect_within("grad q", c.slot(c.tensors.grad_q, n), expected.grad_query);
    expect_within("grad k", c.slot(c.tensors.grad_k, n), expected.grad_key);
    expect_within("grad v", c.slot(c.tensors.grad_v, n), expected.grad_value);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, EmulatedAttention,
    ::testing::Values(Shape{"one_token", {0, 1}, 6, 16, 1, true, false},
                      Shape{"plain_one_document", {0, 70}, 2, 32, 1000, false, false},
                      Shape{"plain_window", {0, 1, 60, 100}, 3, 16, 7, false, false},
                      Shape{"strided", {0, 33, 33, 64, 65}, 6, 16, 9, true, false},
                      Shape{"adjacent", {0, 0, 40, 80, 80}, 6, 24, 16, true, true},
                      Shape{"strided_wide", {0, 75}, 2, 128, 128, true, false}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(EmulatedAttentionOrder, SeedNamesTheBitsAndOnlyTheBits) {
  const Shape shape{"", {0, 100}, 2, 64, 1000, true, false};
  Case first(shape, 1), again(shape, 1), other(shape, 2);
  for (Case* c : {&first, &again, &other}) c->run();
  EXPECT_EQ(first.tensors.logsumexp, again.tensors.logsumexp);
  EXPECT_EQ(first.tensors.grad_q, again.tensors.grad_q);
  EXPECT_NE(first.tensors.logsumexp, other.tensors.logsumexp);
}

}  // namespace
}  // namespace pairedhead::gpu::emulated
