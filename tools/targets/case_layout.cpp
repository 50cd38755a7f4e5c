#include "tools/targets/case_layout.h"

namespace pairedhead {

AttentionLayout attention_layout(const Parameters& parameters, const Arrays& inputs) {
  const Shape& shape = inputs.at("q").shape;
  AttentionLayout layout{};
  layout.tokens = shape.at(0);
  layout.heads = shape.at(1);
  layout.head_dim = shape.at(2);
  layout.window = static_cast<Index>(inputs.at("window").at(0));
  layout.softmax_scale = *inputs.at("softmax_scale").as<float>();
  layout.stride_token = layout.heads * layout.head_dim;
  if (!parameters.has("pairing")) {
    layout.rows_per_token = 1;
    layout.slots = layout.heads;
    layout.stride_row = 0;
    layout.stride_slot = layout.head_dim;
    return layout;
  }
  layout.rows_per_token = 2;
  layout.slots = layout.heads / 2;
  const std::string pairing = parameters.word("pairing");
  if (pairing == "strided") {
    layout.stride_row = layout.slots * layout.head_dim;
    layout.stride_slot = layout.head_dim;
  } else if (pairing == "adjacent") {
    layout.stride_row = layout.head_dim;
    layout.stride_slot = 2 * layout.head_dim;
  } else {
    throw InputError("pairing: expected strided or adjacent, got \"" + pairing + "\"");
  }
  return layout;
}

void logsumexp_by_head(const AttentionLayout& layout, const float* by_slot, float* by_head) {
  for (Index slot = 0; slot < layout.slots; ++slot) {
    for (Index token = 0; token < layout.tokens; ++token) {
      for (Index r = 0; r < layout.rows_per_token; ++r) {
        by_head[token * layout.heads + layout.head_of(r, slot)] = *by_slot++;
      }
    }
  }
}

}  // namespace pairedhead
