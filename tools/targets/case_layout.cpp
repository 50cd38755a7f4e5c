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

namespace {

// Calls move(index in [slots, T * rows_per_token], index in [T, H]) for every row.
template <class Move>
void for_each_row(const AttentionLayout& layout, const Move& move) {
  std::size_t by_slot = 0;
  for (Index slot = 0; slot < layout.slots; ++slot) {
    for (Index token = 0; token < layout.tokens; ++token) {
      for (Index r = 0; r < layout.rows_per_token; ++r) {
        move(by_slot++, static_cast<std::size_t>(token * layout.heads + layout.head_of(r, slot)));
      }
    }
  }
}

}  // namespace

void logsumexp_by_head(const AttentionLayout& layout, const float* by_slot, float* by_head) {
  for_each_row(layout, [=](std::size_t from, std::size_t to) { by_head[to] = by_slot[from]; });
}

std::vector<float> logsumexp_by_slot(const AttentionLayout& layout, const float* by_head) {
  std::vector<float> by_slot(static_cast<std::size_t>(layout.tokens * layout.heads));
  for_each_row(layout, [&](std::size_t to, std::size_t from) { by_slot[to] = by_head[from]; });
  return by_slot;
}

}  // namespace pairedhead
