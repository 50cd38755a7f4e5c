#pragma once

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>

#include "gpu/device_buffer.h"

// Matrix products through cuBLASLt, in fp32 accumulation with one rounding of the result. Where the
// addend is the result itself, in bf16, cuBLASLt may round the product before it adds as well, as
// SPEC §3.10 has it for the products that are added to the residual stream.

namespace pairedhead::gpu {

// One product of row-major matrices: result = alpha * op(a) op(b) + beta * addend, negative
// elements replaced by zero where `relu`; each of the `batch` problems one stride further on. op
// transposes where the flag says so.
//   a       [rows, depth], or [depth, rows] where transpose_a
//   b       [depth, columns], or [columns, depth] where transpose_b
//   addend  [rows, columns], unread where beta = 0; may be the result
struct Product {
  enum class Operands { bf16, e4m3, e5m2_e4m3 };  // of a and b; the last: a e5m2, b e4m3
  enum class Result { bf16, fp32 };

  std::int64_t rows = 0, columns = 0, depth = 0;
  bool transpose_a = false, transpose_b = false;  // fp8: a as [rows, depth], b transposed, only
  Operands operands = Operands::bf16;
  Result result = Result::bf16;
  float alpha = 1, beta = 0;
  bool relu = false;
  bool fast_accumulation = false;           // fp8 only (SPEC §3.8)
  std::int64_t stride_a = 0, stride_b = 0;  // elements between the rows of a matrix as it is
  std::int64_t stride_result = 0;           // stored; 0: they are contiguous
  int batch = 1;
  int planned_batch = 0;  // the algorithm is chosen as for so many problems; 0: as for `batch`
  std::int64_t batch_a = 0, batch_b = 0, batch_result = 0;  // elements between problems

  // clang-tidy 14 takes the 0 that the generated < compares with for a null pointer.
  auto operator<=>(const Product&) const = default;  // NOLINT(modernize-use-nullptr)
};

// A cuBLASLt handle with its workspace, and the algorithm chosen for each product that was asked
// for. The same product gets the same algorithm as long as the object lives, and the same bits. For
// one stream at a time: the workspace is shared.
class LinearAlgebra {
 public:
  LinearAlgebra();
  ~LinearAlgebra();
  LinearAlgebra(const LinearAlgebra&) = delete;
  LinearAlgebra& operator=(const LinearAlgebra&) = delete;

  // Enqueues the product on `stream`. Any size and any alignment of the elements; fp8 needs rows,
  // columns and depth divisible by 16 and addresses that are multiples of 16 bytes. Throws
  // CudaError, std::invalid_argument on what the formats do not allow.
  void multiply(const Product& product, const void* a, const void* b, const void* addend,
                void* result, cudaStream_t stream);

 private:
  struct Plan;
  // The product, and how its operands, addend and result are aligned in memory.
  using Key = std::tuple<Product, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;
  const Plan& plan_of(const Product& product, const Key& key);

  cublasLtHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<Key, Plan> plans_;
};

// y = Lin(x, w) + residual (SPEC §2.3). x: bf16 [T, K]; w: bf16 [N, K]; y: bf16 [T, N]; residual:
// bf16 [T, N], may be y, or nullptr.
void linear_forward(LinearAlgebra& algebra, std::int64_t tokens, std::int64_t inputs,
                    std::int64_t outputs, const __nv_bfloat16* x, const __nv_bfloat16* w,
                    const __nv_bfloat16* residual, __nv_bfloat16* y, cudaStream_t stream);

// grad_x = grad_y w, grad_w = grad_y^T x (SPEC §5); nullptr: not wanted. grad_y: bf16 [T, N];
// grad_x: bf16 [T, K]; grad_w: bf16 [N, K].
void linear_backward(LinearAlgebra& algebra, std::int64_t tokens, std::int64_t inputs,
                     std::int64_t outputs, const __nv_bfloat16* x, const __nv_bfloat16* w,
                     const __nv_bfloat16* grad_y, __nv_bfloat16* grad_x, __nv_bfloat16* grad_w,
                     cudaStream_t stream);

// SPEC §3.6.1, §3.6.8: scaled = bf16(lambda * w). w, scaled: bf16 [count], count a multiple of 8,
// 16-byte aligned; lambda: fp32, device. Throws CudaError, std::invalid_argument on another count.
// Made once a step: the micro-batches of a step share it.
void scale_weight(const __nv_bfloat16* w, const float* lambda, std::int64_t count,
                  __nv_bfloat16* scaled, cudaStream_t stream);

// SPEC §5 "lambda-scaled linear": from grad_scaled = dW', the gradient of w, bf16(lambda * dW'), in
// place, and grad_lambda = <dW', w>, fp32, overwritten. workspace: reduction_workspace_bytes().
void scale_weight_backward(const __nv_bfloat16* w, const float* lambda, std::int64_t count,
                           __nv_bfloat16* grad_scaled, float* grad_lambda, void* workspace,
                           cudaStream_t stream);

// Scratch of every function that reduces to a few numbers: one size for all of them.
std::size_t reduction_workspace_bytes();

}  // namespace pairedhead::gpu
