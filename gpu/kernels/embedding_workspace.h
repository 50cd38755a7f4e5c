#pragma once

#include <cstddef>

#include "gpu/kernels/embedding.h"

namespace pairedhead::gpu {

// What embed_smear_norm_backward and sort_tokens need of the workspace that the embedding's
// functions share.
std::size_t smear_workspace_bytes(const EmbeddingShape& shape);
std::size_t sort_workspace_bytes(const EmbeddingShape& shape);

// What sort_tokens leaves for scatter_rows: OrderedToken [T], sorted by token; behind them a bit
// for each row of the table, 32 a word, set where a token names it.
struct alignas(8) OrderedToken {
  std::int32_t token, position;
};
inline int named_words(const EmbeddingShape& shape) { return (shape.vocabulary + 31) / 32; }

}  // namespace pairedhead::gpu
