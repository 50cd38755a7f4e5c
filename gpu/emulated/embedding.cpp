#include "gpu/emulated/embedding.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "gpu/emulated/bf16.h"

namespace pairedhead::gpu::emulated {

void embedding_forward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* table,
                       std::uint16_t* e) {
  for (int t = 0; t < shape.tokens; ++t) {
    std::copy_n(table + tokens[t] * shape.width, shape.width, e + t * shape.width);
  }
}

void embedding_backward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* grad_e,
                        int vocabulary, std::uint16_t* grad_table) {
  // Sorted by the row they name, so that each row is one run of tokens with a fixed order and no
  // float atomics are needed; the last token of a run comes first.
  std::vector<int> by_row(static_cast<std::size_t>(shape.tokens));
  std::iota(by_row.rbegin(), by_row.rend(), 0);
  std::stable_sort(by_row.begin(), by_row.end(),
                   [&](int a, int b) { return tokens[a] < tokens[b]; });
  std::fill_n(grad_table, vocabulary * shape.width, std::uint16_t{0});
  std::vector<float> sum(static_cast<std::size_t>(shape.width));
  for (auto first = by_row.begin(); first != by_row.end();) {
    const std::int32_t row = tokens[*first];
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (; first != by_row.end() && tokens[*first] == row; ++first) {
      const std::uint16_t* const grad = grad_e + *first * shape.width;
      for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += from_bf16(grad[c]);
    }
    std::transform(sum.begin(), sum.end(), grad_table + row * shape.width, to_bf16);
  }
}

}  // namespace pairedhead::gpu::emulated
