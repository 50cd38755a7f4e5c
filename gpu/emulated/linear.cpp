#include "gpu/emulated/linear.h"

#include <algorithm>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/elementwise.h"
#include "gpu/emulated/warp_sum.h"

namespace pairedhead::gpu::emulated {
namespace {

using Bits = std::vector<std::uint16_t>;

// A factor as the tensor cores read it: element (i, k), k the axis that is summed over.
struct Factor {
  const std::uint16_t* data;
  int stride_i, stride_k;
  float at(int i, int k) const { return from_bf16(data[i * stride_i + k * stride_k]); }
};

Factor by_rows(const std::uint16_t* data, int width) { return {data, width, 1}; }
Factor by_columns(const std::uint16_t* data, int width) { return {data, 1, width}; }

// out[i, j] = sum_k left(i, k) * right(j, k): the terms of one instruction among themselves first.
void multiply(Factor left, Factor right, int rows, int columns, int inner, std::uint16_t* out) {
  constexpr int depth = 16;
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      float accumulator = 0;
      for (int first = 0; first < inner; first += depth) {
        float block = 0;
        for (int k = first; k < first + depth && k < inner; ++k) {
          block += left.at(i, k) * right.at(j, k);
        }
        accumulator += block;
      }
      out[i * columns + j] = to_bf16(accumulator);
    }
  }
}

Bits scaled(const std::uint16_t* from, int count, float factor) {
  Bits to(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = to_bf16(factor * from_bf16(from[i]));
  return to;
}

}  // namespace

void linear_forward(MatrixShape shape, const std::uint16_t* x, const std::uint16_t* w,
                    std::uint16_t* y) {
  multiply(by_rows(x, shape.inner), by_rows(w, shape.inner), shape.rows, shape.columns, shape.inner,
           y);
}

void linear_backward(MatrixShape shape, const std::uint16_t* x, const std::uint16_t* w,
                     const std::uint16_t* grad_y, std::uint16_t* grad_x, std::uint16_t* grad_w) {
  const auto [rows, inner, columns] = shape;
  multiply(by_rows(grad_y, columns), by_columns(w, inner), rows, inner, columns, grad_x);
  multiply(by_columns(grad_y, columns), by_columns(x, inner), columns, inner, rows, grad_w);
}

void lambda_linear_forward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* w,
                           float lambda, std::uint16_t* u) {
  linear_forward(shape, a, scaled(w, shape.columns * shape.inner, lambda).data(), u);
}

void lambda_linear_backward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* w,
                            float lambda, const std::uint16_t* grad_u, std::uint16_t* grad_a,
                            std::uint16_t* grad_w, float* grad_lambda) {
  const int weights = shape.columns * shape.inner;
  Bits grad_scaled(static_cast<std::size_t>(weights));
  linear_backward(shape, a, scaled(w, weights, lambda).data(), grad_u, grad_a, grad_scaled.data());
  *grad_lambda = warp_product(grad_scaled.data(), w, weights);
  const Bits gradient = scaled(grad_scaled.data(), weights, lambda);
  std::copy(gradient.begin(), gradient.end(), grad_w);
}

void mlp_forward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* c_fc,
                 const std::uint16_t* c_proj, std::uint16_t* out) {
  const auto [rows, inner, columns] = shape;
  const TokenShape hidden = {rows, columns};
  Bits p(static_cast<std::size_t>(rows * columns)), h = p;
  linear_forward(shape, a, c_fc, p.data());
  relu_squared_forward(hidden, p.data(), h.data());
  multiply(by_rows(h.data(), columns), by_columns(c_proj, inner), rows, inner, columns, out);
}

void mlp_backward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* c_fc,
                  const std::uint16_t* c_proj, const std::uint16_t* grad_out, std::uint16_t* grad_a,
                  std::uint16_t* grad_c_fc, std::uint16_t* grad_c_proj) {
  const auto [rows, inner, columns] = shape;
  const TokenShape hidden = {rows, columns};
  Bits p(static_cast<std::size_t>(rows * columns)), h = p, grad_h = p, grad_p = p;
  linear_forward(shape, a, c_fc, p.data());
  relu_squared_forward(hidden, p.data(), h.data());
  multiply(by_rows(grad_out, inner), by_rows(c_proj, inner), rows, columns, inner, grad_h.data());
  relu_squared_backward(hidden, p.data(), grad_h.data(), grad_p.data());
  multiply(by_columns(h.data(), columns), by_columns(grad_out, inner), columns, inner, rows,
           grad_c_proj);
  linear_backward(shape, a, c_fc, grad_p.data(), grad_a, grad_c_fc);
}

}  // namespace pairedhead::gpu::emulated
