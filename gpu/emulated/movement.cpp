#include "gpu/emulated/movement.h"

#include <algorithm>

namespace pairedhead::gpu::emulated {
namespace {

// Calls move(packed offset, flat offset) for every row of head_dim channels.
template <class Move>
void for_each_row(int tokens, int heads, int head_dim, PairedStrides strides, const Move& move) {
  std::int64_t flat = 0;
  for (int row = 0; row < 2 * tokens; ++row) {
    for (int slot = 0; slot < heads / 2; ++slot, flat += head_dim) {
      move((row / 2) * strides.token + (row % 2) * strides.row + slot * strides.slot, flat);
    }
  }
}

}  // namespace

void interleave(const std::uint16_t* packed, int tokens, int heads, int head_dim,
                PairedStrides strides, std::uint16_t* flat) {
  for_each_row(tokens, heads, head_dim, strides, [=](std::int64_t from, std::int64_t to) {
    std::copy_n(packed + from, head_dim, flat + to);
  });
}

void deinterleave(const std::uint16_t* flat, int tokens, int heads, int head_dim,
                  PairedStrides strides, std::uint16_t* packed) {
  for_each_row(tokens, heads, head_dim, strides, [=](std::int64_t to, std::int64_t from) {
    std::copy_n(flat + from, head_dim, packed + to);
  });
}

}  // namespace pairedhead::gpu::emulated
