#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// Linear layers (SPEC §2.3, §3.6, §3.8). bf16 bits in and out; products accumulate in fp32, sixteen
// terms at a time, as the matrix units take them.

// x: [rows, inner], w: [columns, inner], y: [rows, columns].
struct MatrixShape {
  int rows, inner, columns;
};

void linear_forward(MatrixShape shape, const std::uint16_t* x, const std::uint16_t* w,
                    std::uint16_t* y);
void linear_backward(MatrixShape shape, const std::uint16_t* x, const std::uint16_t* w,
                     const std::uint16_t* grad_y, std::uint16_t* grad_x, std::uint16_t* grad_w);

// The weights are scaled by lambda and stored as bf16 first; lambda and its gradient fp32.
void lambda_linear_forward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* w,
                           float lambda, std::uint16_t* u);
void lambda_linear_backward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* w,
                            float lambda, const std::uint16_t* grad_u, std::uint16_t* grad_a,
                            std::uint16_t* grad_w, float* grad_lambda);

// a, out: [rows, inner]; c_fc, c_proj: [columns, inner], columns = F hidden channels.
void mlp_forward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* c_fc,
                 const std::uint16_t* c_proj, std::uint16_t* out);
void mlp_backward(MatrixShape shape, const std::uint16_t* a, const std::uint16_t* c_fc,
                  const std::uint16_t* c_proj, const std::uint16_t* grad_out, std::uint16_t* grad_a,
                  std::uint16_t* grad_c_fc, std::uint16_t* grad_c_proj);

}  // namespace pairedhead::gpu::emulated
