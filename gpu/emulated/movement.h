#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// The paired view of a packed [tokens, heads, head_dim] spelled out as a copy (SPEC §3.7, §15), by
// the strides that attention is given; the kernels copy nothing. flat: [2 * tokens, heads / 2,
// head_dim].
struct PairedStrides {
  std::int64_t token, row, slot;
};
void interleave(const std::uint16_t* packed, int tokens, int heads, int head_dim,
                PairedStrides strides, std::uint16_t* flat);
void deinterleave(const std::uint16_t* flat, int tokens, int heads, int head_dim,
                  PairedStrides strides, std::uint16_t* packed);

}  // namespace pairedhead::gpu::emulated
