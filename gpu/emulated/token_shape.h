#pragma once

namespace pairedhead::gpu::emulated {

// Extents of contiguous tensors [tokens, width].
struct TokenShape {
  int tokens, width;
  int size() const { return tokens * width; }
};

}  // namespace pairedhead::gpu::emulated
