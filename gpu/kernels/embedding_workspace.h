#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "gpu/kernels/embedding.h"

namespace pairedhead::gpu {

inline std::size_t aligned_bytes(std::size_t bytes) { return (bytes + 15) / 16 * 16; }

// What embed_smear_norm_backward needs of the workspace that the embedding's functions share, and
// behind it sort_tokens. Multiples of 16.
std::size_t smear_workspace_bytes(const EmbeddingShape& shape);
std::size_t sort_workspace_bytes(const EmbeddingShape& shape);

// sort_tokens on so many multiprocessors alone, for a kernel that needs its result to be launched
// beside it (launch_overlapped).
constexpr int blocks_aside = 8;
void sort_tokens_aside(const EmbeddingShape& shape, const std::int32_t* tokens, void* order,
                       void* workspace, cudaStream_t stream);

// What sort_tokens leaves for scatter_rows: OrderedToken [T], sorted by token; behind them a bit
// for each row of the table, 32 a word, set where a token names it.
struct alignas(8) OrderedToken {
  std::int32_t token, position;
};
inline int named_words(const EmbeddingShape& shape) { return (shape.vocabulary + 31) / 32; }

}  // namespace pairedhead::gpu
