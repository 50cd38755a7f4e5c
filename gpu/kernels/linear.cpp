#include "gpu/kernels/linear.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "gpu/error.h"
#include "gpu/kernels/mutant.h"

namespace pairedhead::gpu {
namespace {

// What cuBLAS recommends for Hopper.
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw CudaError(std::string(call) + ": " + cublasLtGetStatusString(status));
}

// A cuBLASLt descriptor, destroyed with its owner.
template <class Handle, cublasStatus_t (*destroy)(Handle)>
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() {
    if (handle_ != nullptr) destroy(handle_);
  }
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Handle* address() { return &handle_; }
  operator Handle() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <class T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}
template <class T>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  check(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value),
        "cublasLtMatrixLayoutSetAttribute");
}
template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// A row-major matrix [rows, columns] is cuBLAS's column-major [columns, rows].
Layout layout_of(cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                 int batch, std::int64_t batch_stride) {
  Layout layout;
  check(cublasLtMatrixLayoutCreate(layout.address(), type, static_cast<std::uint64_t>(columns),
                                   static_cast<std::uint64_t>(rows), stride),
        "cublasLtMatrixLayoutCreate");
  if (batch > 1) {
    set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batch);
    set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, batch_stride);
  }
  return layout;
}

std::uint32_t alignment(const void* pointer) {
  std::uint32_t bytes = 256;
  while (bytes > 1 && reinterpret_cast<std::uintptr_t>(pointer) % bytes != 0) bytes /= 2;
  return bytes;
}

}  // namespace

struct LinearAlgebra::Plan {
  Operation operation;
  Layout a, b, result;
  cublasLtMatmulAlgo_t algorithm;
};

LinearAlgebra::LinearAlgebra() : workspace_(workspace_bytes) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}

LinearAlgebra::~LinearAlgebra() { cublasLtDestroy(handle_); }

const LinearAlgebra::Plan& LinearAlgebra::plan_of(const Product& product, const Key& key) {
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;

  const bool fp8 = product.operands != Product::Operands::bf16;
  if (fp8 && (product.transpose_a || !product.transpose_b || product.rows % 16 != 0 ||
              product.columns % 16 != 0 || product.depth % 16 != 0)) {
    throw std::invalid_argument(
        "product in fp8: expected a [rows, depth], b [columns, depth], all multiples of 16, got " +
        std::to_string(product.rows) + " x " + std::to_string(product.columns) + " x " +
        std::to_string(product.depth));
  }
  const cudaDataType_t type_a = !fp8                                          ? CUDA_R_16BF
                                : product.operands == Product::Operands::e4m3 ? CUDA_R_8F_E4M3
                                                                              : CUDA_R_8F_E5M2;
  const cudaDataType_t type_b = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
  const cudaDataType_t type_result =
      product.result == Product::Result::bf16 ? CUDA_R_16BF : CUDA_R_32F;

  Plan plan;
  check(cublasLtMatmulDescCreate(plan.operation.address(), CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  // The transposed product, result^T = op(b)^T op(a)^T, is column-major: b comes first.
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, product.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, product.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (fp8) {
    set(plan.operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM,
        static_cast<std::int8_t>(product.fast_accumulation));
  }
  if (product.relu) {
    set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU);
  }
  const auto stride = [](std::int64_t given, std::int64_t contiguous) {
    return given > 0 ? given : contiguous;
  };
  const int planned_batch = product.planned_batch > 0 ? product.planned_batch : product.batch;
  const std::int64_t rows_a = product.transpose_a ? product.depth : product.rows;
  const std::int64_t columns_a = product.transpose_a ? product.rows : product.depth;
  const std::int64_t rows_b = product.transpose_b ? product.columns : product.depth;
  const std::int64_t columns_b = product.transpose_b ? product.depth : product.columns;
  const auto layout_a = [&](int batch) {
    return layout_of(type_a, rows_a, columns_a, stride(product.stride_a, columns_a), batch,
                     product.batch_a);
  };
  const auto layout_b = [&](int batch) {
    return layout_of(type_b, rows_b, columns_b, stride(product.stride_b, columns_b), batch,
                     product.batch_b);
  };
  const auto layout_result = [&](int batch) {
    return layout_of(type_result, product.rows, product.columns,
                     stride(product.stride_result, product.columns), batch, product.batch_result);
  };
  plan.a = layout_a(product.batch);
  plan.b = layout_b(product.batch);
  plan.result = layout_result(product.batch);

  Preference preference;
  check(cublasLtMatmulPreferenceCreate(preference.address()), "cublasLtMatmulPreferenceCreate");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  // A depth that is split is added up in fp32: the other schemes round each part to the result's
  // type.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  const auto& [unused, aligned_a, aligned_b, aligned_addend, aligned_result] = key;
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, aligned_b);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, aligned_a);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, aligned_addend);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, aligned_result);
  cublasLtMatmulHeuristicResult_t heuristic = {};
  int found_algorithms = 0;
  const Layout planned_a = layout_a(planned_batch), planned_b = layout_b(planned_batch);
  const Layout planned_result = layout_result(planned_batch);
  check(
      cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation, planned_b, planned_a, planned_result,
                                     planned_result, preference, 1, &heuristic, &found_algorithms),
      "cublasLtMatmulAlgoGetHeuristic");
  if (found_algorithms == 0) {
    throw CudaError("cublasLtMatmulAlgoGetHeuristic: no algorithm for a product of " +
                    std::to_string(product.rows) + " x " + std::to_string(product.columns) + " x " +
                    std::to_string(product.depth));
  }
  plan.algorithm = heuristic.algo;
  return plans_.emplace(key, std::move(plan)).first->second;
}

void LinearAlgebra::multiply(const Product& product, const void* a, const void* b,
                             const void* addend, void* result, cudaStream_t stream) {
  const float beta = planted(active_kernel_mutant(), KernelMutant::addend_lost) ? 0 : product.beta;
  const void* const added = product.beta != 0 ? addend : result;
  const Plan& plan = plan_of(
      product, Key{product, alignment(a), alignment(b), alignment(added), alignment(result)});
  check(cublasLtMatmul(handle_, plan.operation, &product.alpha, b, plan.b, a, plan.a, &beta, added,
                       plan.result, result, plan.result, &plan.algorithm, workspace_.data(),
                       workspace_.bytes(), stream),
        "cublasLtMatmul");
}

void linear_forward(LinearAlgebra& algebra, std::int64_t tokens, std::int64_t inputs,
                    std::int64_t outputs, const __nv_bfloat16* x, const __nv_bfloat16* w,
                    const __nv_bfloat16* residual, __nv_bfloat16* y, cudaStream_t stream) {
  const bool lost = planted(active_kernel_mutant(), KernelMutant::attention_residual_lost);
  algebra.multiply({.rows = tokens,
                    .columns = outputs,
                    .depth = inputs,
                    .transpose_b = true,
                    .beta = residual != nullptr && !lost ? 1.0f : 0.0f},
                   x, w, residual, y, stream);
}

void linear_backward(LinearAlgebra& algebra, std::int64_t tokens, std::int64_t inputs,
                     std::int64_t outputs, const __nv_bfloat16* x, const __nv_bfloat16* w,
                     const __nv_bfloat16* grad_y, __nv_bfloat16* grad_x, __nv_bfloat16* grad_w,
                     cudaStream_t stream) {
  if (grad_x != nullptr) {
    algebra.multiply({.rows = tokens, .columns = inputs, .depth = outputs}, grad_y, w, nullptr,
                     grad_x, stream);
  }
  if (grad_w != nullptr) {
    algebra.multiply({.rows = outputs, .columns = inputs, .depth = tokens, .transpose_a = true},
                     grad_y, x, nullptr, grad_w, stream);
  }
}

}  // namespace pairedhead::gpu
