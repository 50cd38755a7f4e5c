#include "gpu/gradient_tree.h"

#include <stdexcept>

#include "gpu/kernels/gradient_sum.h"

namespace pairedhead::gpu {

GradientTree::GradientTree(const ParameterLayout& layout, Arena& arena) : layout_(layout) {
  for (ParameterBuffers& leaf : leaves_) {
    leaf = {arena.take<__nv_bfloat16>(layout.bf16_count()), arena.take<float>(layout.fp32_count())};
  }
  for (GradientSums& node : nodes_) {
    node = {arena.take<float>(layout.bf16_count()), arena.take<float>(layout.fp32_count())};
  }
}

void GradientTree::add(int index, cudaStream_t stream) {
  if (index < 0 || index > 7) throw std::out_of_range("GradientTree: an index from 0 to 7");
  if (index % 2 == 0) return;  // waits for its neighbour
  const GradientSums& node = nodes_[index < 4 ? 0 : 1];
  const bool begins = index % 4 == 1;
  add_gradients(layout_.bf16_count(), leaves_[0].bf16, leaves_[1].bf16,
                begins ? nullptr : node.of_bf16, node.of_bf16, stream);
  add_gradients(layout_.fp32_count(), leaves_[0].fp32, leaves_[1].fp32,
                begins ? nullptr : node.of_fp32, node.of_fp32, stream);
  if (index < 7) return;
  add_gradients(layout_.bf16_count(), nodes_[0].of_bf16, nodes_[1].of_bf16, nullptr,
                nodes_[0].of_bf16, stream);
  add_gradients(layout_.fp32_count(), nodes_[0].of_fp32, nodes_[1].of_fp32, nullptr,
                nodes_[0].of_fp32, stream);
}

}  // namespace pairedhead::gpu
