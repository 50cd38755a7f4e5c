#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gpu/kernels/linear.h"

// Elementary pieces of both optimizers (SPEC §6) over whole families of parameters: matrices of one
// shape lie one behind the other, so that a family is one launch. Values that change from step to
// step are read from the device.

namespace pairedhead::gpu {

// `matrices` matrices of [rows, columns], contiguous.
struct MatrixFamily {
  int matrices;
  std::int64_t rows, columns;
  std::int64_t count() const { return matrices * rows * columns; }
};

// SPEC §6.1.1-2: moment = mu moment + (1 - mu) gradient, direction = bf16((1 - mu) gradient + mu
// moment). gradient, moment: fp32 [count]; direction: bf16 [count]; momentum: mu, fp32, device.
void momentum_update(std::int64_t count, const float* gradient, const float* momentum,
                     float* moment, __nv_bfloat16* direction, cudaStream_t stream);

// Bytes of scratch of the functions below (contents are not kept).
std::size_t polar_workspace_bytes(const MatrixFamily& family);

// SPEC §6.1.4 "X / (|X|_F 1.02 + 1e-6)", each matrix by its own norm. direction, x: bf16, the
// matrices as stored: a tall one is not transposed, its iteration works on columns instead.
void polar_normalise(const MatrixFamily& family, const __nv_bfloat16* direction, __nv_bfloat16* x,
                     void* workspace, cudaStream_t stream);

// One iteration X -> a X + B X, B = b A + c A A, A = X X^T (tall: X -> a X + X B, A = X^T X). x,
// result: bf16, different buffers. Result rounded once.
struct PolarCoefficients {
  float a, b, c;
};
std::span<const PolarCoefficients, 5> polar_coefficients();
void polar_iteration(LinearAlgebra& algebra, const MatrixFamily& family,
                     const PolarCoefficients& coefficients, const __nv_bfloat16* x,
                     __nv_bfloat16* result, void* workspace, cudaStream_t stream);

// All of SPEC §6.1.4. orthogonal: bf16, as direction, which is overwritten.
void polar_express(LinearAlgebra& algebra, const MatrixFamily& family, __nv_bfloat16* direction,
                   __nv_bfloat16* orthogonal, void* workspace, cudaStream_t stream);

// SPEC §6.1.5, over rows. orthogonal: bf16, in place; second_moment: fp32 [matrices, rows],
// updated.
void variance_reduction(const MatrixFamily& family, __nv_bfloat16* orthogonal, float* second_moment,
                        void* workspace, cudaStream_t stream);

// SPEC §6.2, an exact sequence of fp32 operations. parameter: bf16 [count]; mantissa: uint16
// [count]; direction: bf16 [count]; learning_rate, weight_decay: eff_lr, eff_wd, fp32, device.
void cautious_split_update(std::int64_t count, const __nv_bfloat16* direction,
                           const float* learning_rate, const float* weight_decay,
                           __nv_bfloat16* parameter, std::uint16_t* mantissa, cudaStream_t stream);

// SPEC §6.3, an exact sequence of fp32 operations, as reference/optim/adam.h defines their order.
// The factors are made on the host in double and rounded once; they lie on the device.
struct AdamFactors {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float step_size;  // lr_p sqrt(1 - beta2^t) / (1 - beta1^t)
  float decay;      // lr_p^2 0.005 wd_mul
};
// One parameter among many of a launch; `gradient` is fp32 whatever the parameter's storage.
struct AdamTensor {
  void* parameter;  // bf16 or fp32
  const float* gradient;
  float* first_moment;
  float* second_moment;
  std::int64_t count;
  bool bf16;  // storage of the parameter
};
// tensors, factors: device, one factor a tensor.
void adam_update(std::span<const AdamTensor> tensors, const AdamFactors* factors,
                 cudaStream_t stream);

// Sums the gradients of micro-batches in one fixed binary tree: of `count` elements, sum = (a + b),
// or partial + (a + b), in fp32. a, b: bf16 or fp32; partial may be nullptr, or be sum.
void add_gradients(std::int64_t count, const __nv_bfloat16* a, const __nv_bfloat16* b,
                   const float* partial, float* sum, cudaStream_t stream);
void add_gradients(std::int64_t count, const float* a, const float* b, const float* partial,
                   float* sum, cudaStream_t stream);

}  // namespace pairedhead::gpu
