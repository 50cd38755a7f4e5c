#include "gpu/kernels/head.h"

#include "gpu/kernels/mutant.h"

namespace pairedhead::gpu {

void head_fp8_forward(LinearAlgebra& algebra, const HeadShape& shape, const Fp8Operand& x,
                      const Fp8Operand& lm_head, __nv_bfloat16* z, cudaStream_t stream) {
  const Fp8Scales scales = fp8_scales();
  algebra.multiply({.rows = shape.tokens,
                    .columns = shape.vocabulary,
                    .depth = shape.width,
                    .transpose_b = true,
                    .operands = Product::Operands::e4m3,
                    .alpha = scales.activation * scales.weight,
                    .fast_accumulation = true},
                   x.codes, lm_head.codes, nullptr, z, stream);
}

void head_fp8_backward(LinearAlgebra& algebra, const HeadShape& shape, const Fp8Operand& x,
                       const Fp8Operand& lm_head, const Fp8Operand& grad_z, __nv_bfloat16* grad_x,
                       __nv_bfloat16* grad_lm_head, cudaStream_t stream) {
  const Fp8Scales scales = fp8_scales();
  const bool exchanged = planted(active_kernel_mutant(), KernelMutant::head_scales_exchanged);
  algebra.multiply({.rows = shape.tokens,
                    .columns = shape.width,
                    .depth = shape.vocabulary,
                    .transpose_b = true,
                    .operands = Product::Operands::e5m2_e4m3,
                    .alpha = scales.gradient * (exchanged ? scales.activation : scales.weight)},
                   grad_z.codes, lm_head.transposed, nullptr, grad_x, stream);
  algebra.multiply({.rows = shape.vocabulary,
                    .columns = shape.width,
                    .depth = shape.tokens,
                    .transpose_b = true,
                    .operands = Product::Operands::e5m2_e4m3,
                    .alpha = scales.activation * scales.gradient},
                   grad_z.transposed, x.transposed, nullptr, grad_lm_head, stream);
}

}  // namespace pairedhead::gpu
