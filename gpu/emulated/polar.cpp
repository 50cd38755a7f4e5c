#include "gpu/emulated/polar.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/order.h"

namespace pairedhead::gpu::emulated {
namespace {

constexpr int tile = 16;  // columns that a partial sum spans

// X -> a X + (b A + c A A) X, A = X X^T.
struct Step {
  float a, b, c;
};
constexpr Step steps[] = {{8.1565546f, -22.483293f, 15.87877f},
                          {4.0429299f, -2.8089175f, 0.50001785f},
                          {3.8916678f, -2.7724842f, 0.50606482f},
                          {3.2857537f, -2.3681295f, 0.46449024f},
                          {2.3465413f, -1.7097828f, 0.42323551f}};

std::size_t place(int row, int columns, int column) {
  return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
         static_cast<std::size_t>(column);
}

std::vector<int> tile_order(int columns, std::uint64_t seed) {
  return Order(seed).shuffled((columns + tile - 1) / tile);
}

// sum_k a[k] * b[k * stride], a tile at a time.
float dot(const std::uint16_t* a, const std::uint16_t* b, int stride, int count,
          const std::vector<int>& order) {
  float total = 0;
  for (const int t : order) {
    float sum = 0;
    for (int k = t * tile; k < std::min(count, (t + 1) * tile); ++k) {
      sum += from_bf16(a[k]) * from_bf16(b[place(k, stride, 0)]);
    }
    total += sum;
  }
  return total;
}

// X X^T in fp32, the lower half mirrored to the upper.
std::vector<float> gram(const Bf16Matrix& x, int m, int n, std::uint64_t seed) {
  const std::vector<int> order = tile_order(n, seed);
  std::vector<float> product(place(m, m, 0));
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j <= i; ++j) {
      const float sum = dot(&x[place(i, n, 0)], &x[place(j, n, 0)], 1, n, order);
      product[place(i, m, j)] = product[place(j, m, i)] = sum;
    }
  }
  return product;
}

}  // namespace

Bf16Matrix polar_normalise(const float* direction, int rows, int columns,
                           std::uint64_t order_seed) {
  const bool tall = rows > columns;
  Bf16Matrix x(place(rows, columns, 0));
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      x[tall ? place(j, rows, i) : place(i, columns, j)] = to_bf16(direction[place(i, columns, j)]);
    }
  }
  const int count = rows * columns;
  const float squares = dot(x.data(), x.data(), 1, count, tile_order(count, order_seed));
  const float inverse = 1 / (std::sqrt(squares) * 1.02f + 1e-6f);
  for (std::uint16_t& value : x) value = to_bf16(from_bf16(value) * inverse);
  return x;
}

Bf16Matrix polar_iteration(const Bf16Matrix& x, int m, int n, int iteration, bool fused,
                           std::uint64_t order_seed) {
  const auto [a, b, c] = steps[iteration];
  const std::vector<float> squared = gram(x, m, n, order_seed);
  Bf16Matrix first(squared.size()), second(squared.size());
  for (std::size_t i = 0; i < squared.size(); ++i) first[i] = to_bf16(squared[i]);
  const std::vector<float> fourth = gram(first, m, m, order_seed + 1);
  for (std::size_t i = 0; i < fourth.size(); ++i) {
    second[i] = to_bf16(c * fourth[i] + b * from_bf16(first[i]));
  }
  const std::vector<int> order = tile_order(m, order_seed + 2);
  Bf16Matrix y(x.size());
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      const float product = dot(&second[place(i, m, 0)], &x[place(0, n, j)], n, m, order);
      const float linear = a * from_bf16(x[place(i, n, j)]);
      y[place(i, n, j)] = to_bf16(linear + (fused ? product : through_bf16(product)));
    }
  }
  return y;
}

Bf16Matrix polar_express(const float* direction, int rows, int columns, bool fused,
                         std::uint64_t order_seed) {
  const bool tall = rows > columns;
  const int m = std::min(rows, columns), n = std::max(rows, columns);
  Bf16Matrix x = polar_normalise(direction, rows, columns, order_seed);
  for (int i = 0; i < 5; ++i) x = polar_iteration(x, m, n, i, fused, order_seed);
  if (!tall) return x;
  Bf16Matrix back(x.size());
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) back[place(i, columns, j)] = x[place(j, rows, i)];
  }
  return back;
}

void variance_reduction(std::uint16_t* update, float* second_moment, int rows, int columns,
                        std::uint64_t order_seed) {
  const std::vector<int> order = tile_order(columns, order_seed);
  const auto count = static_cast<float>(columns);
  std::vector<float> inverse(static_cast<std::size_t>(rows));
  float before = 0, after = 0;
  for (int i = rows - 1; i >= 0; --i) {
    const std::uint16_t* row = update + place(i, columns, 0);
    const float squares = dot(row, row, 1, columns, order);
    second_moment[i] += 0.05f * (squares / count - second_moment[i]);
    const float s = 1 / std::sqrt(std::max(second_moment[i], 1e-10f));
    inverse[static_cast<std::size_t>(i)] = s;
    before += squares;
    after += squares * s * s;
  }
  const float rescale = std::sqrt(before) / std::max(std::sqrt(after), 1e-10f);
  for (int i = 0; i < rows; ++i) {
    const float factor = through_bf16(inverse[static_cast<std::size_t>(i)] * rescale);
    for (int j = 0; j < columns; ++j) {
      std::uint16_t& value = update[place(i, columns, j)];
      value = to_bf16(from_bf16(value) * factor);
    }
  }
}

}  // namespace pairedhead::gpu::emulated
