#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "gpu/kernels/linear.h"
#include "gpu/kernels/matrix_family.h"

// SPEC §6.1.4 over a family of matrices. They stay as they are stored: where the reference
// transposes a tall matrix, the products here change sides, X X^T to X^T X and B X to X B. Every
// function throws CudaError, and std::invalid_argument on an empty family.

namespace pairedhead::gpu {

// Scratch of the functions below; its contents are not kept.
std::size_t polar_workspace_bytes(const MatrixFamily& family);

// X / (|X|_F 1.02 + 1e-6), each matrix by its own norm. direction, x: bf16, the family; x may be
// direction.
void polar_normalise(const MatrixFamily& family, const __nv_bfloat16* direction, __nv_bfloat16* x,
                     void* workspace, cudaStream_t stream);

// Of the five iterations, in their order.
struct PolarCoefficients {
  float a, b, c;
};
std::span<const PolarCoefficients, 5> polar_coefficients();

// X -> a X + B X with B = b A + c A A, A = X X^T; of a tall matrix a X + X B, A = X^T X. Each
// product is rounded once, with what is added to it. x, result: bf16, the family, apart. Afterwards
// the workspace holds A, then B, bf16 [matrices, m, m] with m the lesser of rows and columns, both
// symmetric bit for bit.
void polar_iteration(LinearAlgebra& algebra, const MatrixFamily& family,
                     const PolarCoefficients& coefficients, const __nv_bfloat16* x,
                     __nv_bfloat16* result, void* workspace, cudaStream_t stream);

// The normalisation and the five iterations. direction, orthogonal: bf16, the family, apart;
// direction is overwritten.
void polar_express(LinearAlgebra& algebra, const MatrixFamily& family, __nv_bfloat16* direction,
                   __nv_bfloat16* orthogonal, void* workspace, cudaStream_t stream);

}  // namespace pairedhead::gpu
