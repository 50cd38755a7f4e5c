#pragma once

#include <cstdint>

#include "gpu/kernels/linear.h"

// The language-model head (SPEC §3.8) in bf16 and in fp8.

namespace pairedhead::gpu {

// Static scales of the fp8 head (SPEC §3.8, §5): a value is its code times the scale.
struct Fp8Scales {
  float activation, weight, gradient;  // xs, wsc, gs
};
Fp8Scales fp8_scales();

// SPEC §3.8 "Quantisation": x / scale in fp32, to e4m3, nearest even, saturating, in both layouts
// that the products need: codes [rows, columns], transposed [columns, rows]. x: bf16 [rows,
// columns].
void quantise_both_ways(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
                        float scale, std::uint8_t* codes, std::uint8_t* transposed,
                        cudaStream_t stream);
// The same in e5m2, of a gradient that is stored in bf16.
void quantise_e5m2_both_ways(const __nv_bfloat16* x, std::int64_t rows, std::int64_t columns,
                             float scale, std::uint8_t* codes, std::uint8_t* transposed,
                             cudaStream_t stream);

struct HeadShape {
  std::int64_t tokens, width, vocabulary;  // T, C, V; multiples of 16 in fp8
};

// Operands of the fp8 products, e4m3, [rows, columns] and transposed.
struct Fp8Operand {
  const std::uint8_t* codes;
  const std::uint8_t* transposed;
};

// z = bf16(xs wsc x8 w8^T), with fast accumulation. x8: [T, C]; w8: [V, C]; z: bf16 [T, V].
void head_fp8_forward(LinearAlgebra& algebra, const HeadShape& shape, const Fp8Operand& x,
                      const Fp8Operand& lm_head, __nv_bfloat16* z, cudaStream_t stream);

// SPEC §5 "fp8 head", without fast accumulation. grad_z: e5m2, [T, V] and transposed [V, T];
// grad_x: bf16 [T, C]; grad_lm_head: bf16 [V, C].
void head_fp8_backward(LinearAlgebra& algebra, const HeadShape& shape, const Fp8Operand& x,
                       const Fp8Operand& lm_head, const Fp8Operand& grad_z, __nv_bfloat16* grad_x,
                       __nv_bfloat16* grad_lm_head, cudaStream_t stream);

// The bf16 form is linear_forward and linear_backward.

}  // namespace pairedhead::gpu
