#pragma once

#include <vector>

#include "golden/array.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// How the tensors of an attention case lie before a kernel: the strided view of SPEC §15 and the
// numbers that go with it. Integers only; shared by the targets that call kernels.
struct AttentionLayout {
  Index tokens, heads, head_dim;
  Index rows_per_token, slots;                  // 1, H plain; 2, H / 2 paired
  Index stride_token, stride_row, stride_slot;  // in elements
  Index window;                                 // in flat rows
  float softmax_scale;

  // The head that a slot of a row-in-pair is.
  Index head_of(Index row_in_pair, Index slot) const {
    return (row_in_pair * stride_row + slot * stride_slot) / head_dim;
  }
};

// Paired where the parameter "pairing" is there. inputs: q, window, softmax_scale.
AttentionLayout attention_layout(const Parameters& parameters, const Arrays& inputs);

// A kernel's logsumexp, [slots, T * rows_per_token], to [T, H] and back; all fp32.
void logsumexp_by_head(const AttentionLayout& layout, const float* by_slot, float* by_head);
std::vector<float> logsumexp_by_slot(const AttentionLayout& layout, const float* by_head);

}  // namespace pairedhead
