#include "gpu/emulated/qk_prepare.h"

#include <cmath>
#include <cstddef>
#include <vector>

#include "gpu/emulated/bf16.h"

namespace pairedhead::gpu::emulated {
namespace {

constexpr float rms_epsilon = 0x1p-23f;

// Where things lie: rows of heads, and the rotary factors of a head.
struct Layout {
  const QkPrepareProblem& problem;

  std::size_t row(int token, int head) const {
    return (static_cast<std::size_t>(token) * static_cast<std::size_t>(problem.heads) +
            static_cast<std::size_t>(head)) *
           static_cast<std::size_t>(problem.head_dim);
  }
  std::size_t factors(int token, int head) const {
    const int columns = problem.paired ? 2 : 1;
    return (static_cast<std::size_t>(token) * static_cast<std::size_t>(columns) +
            static_cast<std::size_t>(problem.paired ? head % 2 : 0)) *
           static_cast<std::size_t>(problem.head_dim);
  }
  // The second quarter of either half.
  bool shifts(int channel) const {
    const int half = problem.head_dim / 2;
    return problem.shift_keys && channel % half >= half / 2;
  }
};

using Row = std::vector<float>;

Row load(const std::uint16_t* from, int head_dim) {
  Row row(static_cast<std::size_t>(head_dim));
  for (std::size_t d = 0; d < row.size(); ++d) row[d] = from_bf16(from[d]);
  return row;
}

// (mean x^2 + eps)^(-1/2), and 1 where nothing is normalised.
float inverse_rms(const Row& x, bool normalise) {
  if (!normalise) return 1;
  float sum = 0;
  for (std::size_t d = x.size(); d-- > 0;) sum += x[d] * x[d];
  return 1 / std::sqrt(sum / static_cast<float>(x.size()) + rms_epsilon);
}

Row prepared(const Row& x, const std::uint16_t* cosine, const std::uint16_t* sine, bool normalise) {
  const float inverse = inverse_rms(x, normalise);
  Row y(x.size());
  for (std::size_t d = 0; d < x.size(); ++d) {
    y[d] = from_bf16(cosine[d]) * (x[d] * inverse) + from_bf16(sine[d]) * (x[d ^ 1] * inverse);
  }
  return y;
}

// From the gradient of a rotated row to that of the raw one.
void store_raw_gradient(const Row& x, const Row& grad, const std::uint16_t* cosine,
                        const std::uint16_t* sine, bool normalise, std::uint16_t* out) {
  Row g(x.size());
  for (std::size_t d = 0; d < x.size(); ++d) {
    g[d] = from_bf16(cosine[d]) * grad[d] - from_bf16(sine[d]) * grad[d ^ 1];
  }
  const float inverse = inverse_rms(x, normalise);
  float mean = 0;
  if (normalise) {
    for (std::size_t d = x.size(); d-- > 0;) mean += g[d] * (x[d] * inverse);
    mean /= static_cast<float>(x.size());
  }
  for (std::size_t d = 0; d < x.size(); ++d) {
    out[d] = to_bf16(inverse * (g[d] - x[d] * inverse * mean));
  }
}

}  // namespace

void qk_prepare_forward(const QkPrepareProblem& problem, const std::uint16_t* query_in,
                        const std::uint16_t* key_in, const std::uint16_t* cosine,
                        const std::uint16_t* sine, std::uint16_t* query, std::uint16_t* key) {
  const Layout layout{problem};
  const int last = problem.tokens - 1;
  for (int t = 0; t < problem.tokens; ++t) {
    for (int h = 0; h < problem.heads; ++h) {
      const std::size_t row = layout.row(t, h), factors = layout.factors(t, h);
      const auto rotated = [&](const std::uint16_t* raw) {
        return prepared(load(raw + row, problem.head_dim), cosine + factors, sine + factors,
                        problem.normalise);
      };
      const Row q = rotated(query_in), k = rotated(key_in);
      for (int d = 0; d < problem.head_dim; ++d) {
        const auto n = static_cast<std::size_t>(d);
        query[row + n] = to_bf16(q[n]);
        // A shifted channel is delivered one token on; row 0 has no giver and keeps its own.
        if (!layout.shifts(d) || t == 0) key[row + n] = to_bf16(k[n]);
        if (layout.shifts(d) && t < last) key[layout.row(t + 1, h) + n] = to_bf16(k[n]);
      }
    }
  }
}

void qk_prepare_backward(const QkPrepareProblem& problem, const std::uint16_t* query_in,
                         const std::uint16_t* key_in, const std::uint16_t* cosine,
                         const std::uint16_t* sine, const std::uint16_t* grad_query,
                         const std::uint16_t* grad_key, std::uint16_t* grad_query_in,
                         std::uint16_t* grad_key_in) {
  const Layout layout{problem};
  const int last = problem.tokens - 1;
  for (int t = 0; t < problem.tokens; ++t) {
    for (int h = 0; h < problem.heads; ++h) {
      const std::size_t row = layout.row(t, h), factors = layout.factors(t, h);
      const auto store = [&](const std::uint16_t* raw, const Row& grad, std::uint16_t* out) {
        store_raw_gradient(load(raw + row, problem.head_dim), grad, cosine + factors,
                           sine + factors, problem.normalise, out + row);
      };
      store(query_in, load(grad_query + row, problem.head_dim), grad_query_in);

      Row grad = load(grad_key + row, problem.head_dim);
      for (int d = 0; d < problem.head_dim; ++d) {
        if (!layout.shifts(d)) continue;
        const auto n = static_cast<std::size_t>(d);
        if (t > 0) grad[n] = 0;
        if (t < last) grad[n] += from_bf16(grad_key[layout.row(t + 1, h) + n]);
      }
      store(key_in, grad, grad_key_in);
    }
  }
}

void rotary_table(const float* frequency, int tokens, int head_dim, bool paired,
                  std::uint16_t* cosine, std::uint16_t* sine) {
  const int columns = paired ? 2 : 1;
  std::size_t n = 0;
  for (int t = 0; t < tokens; ++t) {
    for (int r = 0; r < columns; ++r) {
      const auto position = static_cast<float>(columns * t + r);
      for (int d = 0; d < head_dim; ++d, ++n) {
        const double theta = static_cast<double>(position * frequency[d]);
        cosine[n] = to_bf16(static_cast<float>(std::cos(theta)));
        const std::uint16_t rounded = to_bf16(static_cast<float>(std::sin(theta)));
        sine[n] = static_cast<std::uint16_t>(rounded ^ (d % 2 ? 0x8000u : 0u));
      }
    }
  }
}

}  // namespace pairedhead::gpu::emulated
