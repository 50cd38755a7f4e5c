#pragma once

#include <cuda.h>

#include "gpu/kernels/attention.h"

namespace pairedhead::gpu {

// Flat rows of one box of the copy engine; a row is 64 channels, swizzled over 128 bytes.
constexpr int kBoxRows = 64;

// The copy engine's description of a packed tensor of heads, coordinates (channel, row in token,
// token, slot). Reads past the tensor give zeros and writes past it are dropped, which pads head
// dimension and sequence for free. Throws CudaError.
CUtensorMap describe_heads(const AttentionProblem& problem, const HeadView& view);

}  // namespace pairedhead::gpu
