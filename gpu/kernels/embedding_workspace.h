#pragma once

#include <cstddef>

#include "gpu/kernels/embedding.h"

namespace pairedhead::gpu {

// What embed_smear_norm_backward and sort_tokens need of the workspace that the embedding's
// functions share.
std::size_t smear_workspace_bytes(const EmbeddingShape& shape);
std::size_t sort_workspace_bytes(const EmbeddingShape& shape);

}  // namespace pairedhead::gpu
