#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

// Attention written down once more, as plainly as possible, for the tests of gpu/: double, dense,
// one loop over all pairs of flat rows of one slot. Beside each result stands a bound on what a
// correct kernel may differ by: bf16 rounding (unit roundoff 2^-8) of P, dS, y and the outputs, and
// fp32 sums, each taken at its worst.

namespace pairedhead::testing {

struct Bounded {
  std::vector<double> value, bound;  // [rows, head_dim]
  explicit Bounded(std::size_t size = 0) : value(size), bound(size) {}
};

struct NaiveAttention {
  std::vector<double> logsumexp;  // [rows]
  Bounded y, grad_query, grad_key, grad_value;
};

using Matrix = std::vector<double>;  // [rows, head_dim]

// document[row]: which document a flat row belongs to.
inline NaiveAttention naive_attention(const Matrix& q, const Matrix& k, const Matrix& v,
                                      const Matrix& grad_y, const std::vector<int>& document,
                                      int window, double scale, int head_dim) {
  constexpr double u = 0x1p-8;
  const int rows = static_cast<int>(document.size());
  const double u32 = (rows + head_dim + 64) * 0x1p-23;
  const auto at = [head_dim](int row, int d) {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(head_dim) +
           static_cast<std::size_t>(d);
  };
  const auto visible = [&](int query, int key) {
    return key <= query && query - key <= window &&
           document[static_cast<std::size_t>(query)] == document[static_cast<std::size_t>(key)];
  };
  NaiveAttention result{.logsumexp = std::vector<double>(document.size()),
                        .y = Bounded(q.size()),
                        .grad_query = Bounded(q.size()),
                        .grad_key = Bounded(q.size()),
                        .grad_value = Bounded(q.size())};
  for (int i = 0; i < rows; ++i) {
    std::vector<double> p(document.size());
    double sum = 0;
    for (int j = 0; j < rows; ++j) {
      double score = 0;
      for (int d = 0; d < head_dim; ++d) score += q[at(i, d)] * k[at(j, d)];
      sum += p[static_cast<std::size_t>(j)] = visible(i, j) ? std::exp(scale * score) : 0;
    }
    result.logsumexp[static_cast<std::size_t>(i)] = std::log(sum);
    for (double& probability : p) probability /= sum;

    double delta = 0, delta_bound = 0;
    for (int d = 0; d < head_dim; ++d) {
      double y = 0, magnitude = 0;
      for (int j = 0; j < rows; ++j) {
        y += p[static_cast<std::size_t>(j)] * v[at(j, d)];
        magnitude += p[static_cast<std::size_t>(j)] * std::abs(v[at(j, d)]);
      }
      result.y.value[at(i, d)] = y;
      result.y.bound[at(i, d)] = (2 * u + u * u + u32) * magnitude;
      delta += grad_y[at(i, d)] * y;
      delta_bound += std::abs(grad_y[at(i, d)]) * result.y.bound[at(i, d)];
    }
    for (int j = 0; j < rows; ++j) {
      const double probability = p[static_cast<std::size_t>(j)];
      double dp = 0, dp_magnitude = 0;
      for (int d = 0; d < head_dim; ++d) {
        dp += grad_y[at(i, d)] * v[at(j, d)];
        dp_magnitude += std::abs(grad_y[at(i, d)] * v[at(j, d)]);
      }
      const double ds = probability * (dp - delta);
      const double ds_bound =
          (1 + u) * probability * (delta_bound + u32 * dp_magnitude) + (u + u32) * std::abs(ds);
      for (int d = 0; d < head_dim; ++d) {
        const auto add = [](Bounded& sum_of, std::size_t n, double value, double bound) {
          sum_of.value[n] += value;
          sum_of.bound[n] += bound;
        };
        const auto wide = ds_bound + (u + u32) * std::abs(ds);  // for the output's own rounding
        add(result.grad_query, at(i, d), scale * ds * k[at(j, d)],
            scale * (1 + u) * wide * std::abs(k[at(j, d)]));
        add(result.grad_key, at(j, d), scale * ds * q[at(i, d)],
            scale * (1 + u) * wide * std::abs(q[at(i, d)]));
        const double dv = probability * grad_y[at(i, d)];
        add(result.grad_value, at(j, d), dv, (2 * u + u * u + u32) * std::abs(dv));
      }
    }
  }
  return result;
}

}  // namespace pairedhead::testing
