#pragma once

#include <array>

#include "gpu/arena.h"
#include "gpu/parameter_layout.h"

namespace pairedhead::gpu {

// Gradients of all parameters in fp32, whatever the parameters are stored in; in the layout's
// order.
struct GradientSums {
  float* of_bf16;  // [bf16_count]
  float* of_fp32;  // [fp32_count]
};

// The gradients of a step's eight micro-batches, or of the one, two or four of a rank, summed as
// they come in one fixed binary tree over their index (SPEC §9.2): neighbours first, then
// neighbours of these sums, in fp32. Two gradients and two sums are held at a time.
class GradientTree {
 public:
  GradientTree(const ParameterLayout& layout, Arena& arena);

  // Where micro-batch `index` leaves its gradients.
  const ParameterBuffers& leaf(int index) const {
    return leaves_[static_cast<std::size_t>(index % 2)];
  }

  // Takes the leaf of micro-batch `index` into the tree; in the order of the index, from 0.
  void add(int index, cudaStream_t stream);

  // After two, four or eight of them: their sum. One alone stays in its leaf.
  const GradientSums& sum() const { return nodes_[0]; }
  // A node that holds nothing after the last of them.
  const GradientSums& spare() const { return nodes_[1]; }

 private:
  const ParameterLayout& layout_;
  std::array<ParameterBuffers, 2> leaves_;
  std::array<GradientSums, 2> nodes_;  // of the first four, and of the last four
};

}  // namespace pairedhead::gpu
