#include <cstdint>

#include "gpu/error.h"
#include "gpu/kernels/tensor_map.h"

namespace pairedhead::gpu {

namespace {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

// Asked of the runtime, so that the program links no libcuda and starts on machines without one.
EncodeTiled encode_tiled() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                              cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess) {
    throw CudaError("cuTensorMapEncodeTiled: the driver has no such entry point (needs CUDA 12)");
  }
  return reinterpret_cast<EncodeTiled>(function);
}

}  // namespace

CUtensorMap describe_heads(const AttentionProblem& problem, const HeadView& view) {
  static const EncodeTiled encode = encode_tiled();
  const auto rows = static_cast<cuuint32_t>(problem.rows_per_token);
  const auto bytes = [](std::int64_t elements) {
    return static_cast<cuuint64_t>(elements) * sizeof(__nv_bfloat16);
  };
  const cuuint64_t extents[4] = {static_cast<cuuint64_t>(problem.head_dim), rows,
                                 static_cast<cuuint64_t>(problem.tokens),
                                 static_cast<cuuint64_t>(problem.slots)};
  // A plain tensor has no second row: its stride is never used but must still be a valid one.
  const cuuint64_t strides[3] = {bytes(rows == 1 ? view.stride_token : view.stride_row),
                                 bytes(view.stride_token), bytes(view.stride_slot)};
  const cuuint32_t box[4] = {64, rows, kBoxRows / rows, 1};
  const cuuint32_t steps[4] = {1, 1, 1, 1};
  CUtensorMap map;
  CUDA_CHECK(encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, view.data, extents, strides, box,
                    steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  return map;
}

}  // namespace pairedhead::gpu
