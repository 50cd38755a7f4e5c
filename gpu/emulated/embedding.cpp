#include "gpu/emulated/embedding.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "gpu/emulated/fp32_row.h"
#include "gpu/kernels/gate.h"

namespace pairedhead::gpu::emulated {

void embedding_forward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* table,
                       std::uint16_t* e) {
  for (int t = 0; t < shape.tokens; ++t) {
    std::copy_n(table + tokens[t] * shape.width, shape.width, e + t * shape.width);
  }
}

void embedding_backward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* grad_e,
                        const std::uint16_t* before, int vocabulary, std::uint16_t* grad_table) {
  // Sorted by the row they name, so that each row is one run of tokens with a fixed order and no
  // float atomics are needed; the last token of a run comes first.
  std::vector<int> by_row(static_cast<std::size_t>(shape.tokens));
  std::iota(by_row.rbegin(), by_row.rend(), 0);
  std::stable_sort(by_row.begin(), by_row.end(),
                   [&](int a, int b) { return tokens[a] < tokens[b]; });
  for (int i = 0; i < vocabulary * shape.width; ++i) {
    grad_table[i] = before == nullptr ? std::uint16_t{0} : before[i];
  }
  std::vector<float> sum(static_cast<std::size_t>(shape.width));
  for (auto first = by_row.begin(); first != by_row.end();) {
    const std::int32_t row = tokens[*first];
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (; first != by_row.end() && tokens[*first] == row; ++first) {
      const std::uint16_t* const grad = grad_e + *first * shape.width;
      for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += from_bf16(grad[c]);
    }
    std::uint16_t* const grad_row = grad_table + row * shape.width;
    std::transform(sum.begin(), sum.end(), grad_row, grad_row,
                   [](float x, std::uint16_t has) { return to_bf16(from_bf16(has) + x); });
  }
}

namespace {

// A token's embedding, the one before it, and their smeared sum.
struct Smeared {
  Fp32Row e, previous, sum;
  float gate = 0;
};

Smeared smeared(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* table,
                const std::uint16_t* w, float lam, int t) {
  Smeared result;
  const std::uint16_t* const row = table + tokens[t] * shape.width;
  result.sum = result.e = load_row(row, shape.width);
  result.previous.assign(result.e.size(), 0);
  if (t == 0) return result;
  result.previous = load_row(table + tokens[t - 1] * shape.width, shape.width);
  result.gate = logistic(warp_product(row, w, gate_channels));
  for (std::size_t c = 0; c < result.e.size(); ++c) {
    result.sum[c] = std::fma(lam * result.gate, result.previous[c], result.e[c]);
  }
  return result;
}

}  // namespace

void embed_smear_norm_forward(TokenShape shape, const std::int32_t* tokens,
                              const std::uint16_t* table, const std::uint16_t* w, float lam,
                              std::uint16_t* x0) {
  for (int t = 0; t < shape.tokens; ++t) {
    const Fp32Row s = smeared(shape, tokens, table, w, lam, t).sum;
    const float inverse = inverse_rms(s);
    for (const float x : s) *x0++ = to_bf16(x * inverse);
  }
}

void embed_smear_norm_backward(TokenShape shape, const std::int32_t* tokens,
                               const std::uint16_t* table, const std::uint16_t* w, float lam,
                               const std::uint16_t* grad_x0, const std::uint16_t* grad_x,
                               std::uint16_t* grad_e, std::uint16_t* grad_w, float* grad_lam) {
  std::vector<float> of_lam;  // one a token, the last token's first
  std::array<std::vector<float>, gate_channels> of_w;
  Fp32Row returned(static_cast<std::size_t>(shape.width));  // by the next token
  for (int t = shape.tokens - 1; t >= 0; --t) {
    const Smeared here = smeared(shape, tokens, table, w, lam, t);
    const int row = t * shape.width;
    Fp32Row incoming = load_row(grad_x0 + row, shape.width);
    if (grad_x != nullptr) {
      for (std::size_t c = 0; c < incoming.size(); ++c) {
        incoming[c] += from_bf16(grad_x[row + static_cast<int>(c)]);
      }
    }
    const Fp32Row g = norm_backward(here.sum, incoming);
    Fp32Row to_e = g;
    for (std::size_t c = 0; c < to_e.size(); ++c) to_e[c] += returned[c];
    const float grad_gate = here.gate * product(g, here.previous);
    const float grad_logit = lam * (1 - here.gate) * grad_gate;
    of_lam.push_back(grad_gate);
    for (std::size_t c = 0; c < gate_channels; ++c) {
      to_e[c] += grad_logit * from_bf16(w[c]);
      of_w[c].push_back(grad_logit * here.e[c]);
    }
    store_row(to_e, grad_e + row);
    for (std::size_t c = 0; c < g.size(); ++c) returned[c] = lam * here.gate * g[c];
  }
  const auto total = [](const std::vector<float>& numbers) {
    return warp_sum(static_cast<int>(numbers.size()),
                    [&](int i) { return numbers[static_cast<std::size_t>(i)]; });
  };
  *grad_lam = total(of_lam);
  for (std::size_t c = 0; c < gate_channels; ++c) grad_w[c] = to_bf16(total(of_w[c]));
}

}  // namespace pairedhead::gpu::emulated
