#include <algorithm>

#include "tools/components/rows.h"

namespace pairedhead {
namespace {

const std::vector<std::string>& table_order() {
  static const std::vector<std::string> order = {"interleave",
                                                 "deinterleave",
                                                 "rotary_table",
                                                 "yarn_update",
                                                 "rotary_plain",
                                                 "rotary_paired",
                                                 "qk_norm",
                                                 "key_shift",
                                                 "qk_prepare",
                                                 "value_mix",
                                                 "attention_plain",
                                                 "attention_paired",
                                                 "output_gate",
                                                 "rms_norm",
                                                 "linear",
                                                 "lambda_linear",
                                                 "quantise_fp8",
                                                 "head_fp8",
                                                 "mlp",
                                                 "relu_squared",
                                                 "embedding",
                                                 "value_embedding",
                                                 "smear",
                                                 "embed_smear_norm",
                                                 "residual_mix",
                                                 "skip",
                                                 "backout",
                                                 "mix_norm",
                                                 "skip_mix_norm",
                                                 "backout_norm",
                                                 "softcap",
                                                 "softcap_loss",
                                                 "softcap_loss_fp8",
                                                 "block",
                                                 "model",
                                                 "polar_normalise",
                                                 "polar_iteration",
                                                 "polar_express",
                                                 "variance_reduction",
                                                 "momentum",
                                                 "cautious_split_update",
                                                 "normuon_step",
                                                 "adam_step",
                                                 "learning_rate",
                                                 "momentum_schedule",
                                                 "window_schedule",
                                                 "shard_reader",
                                                 "document_packer",
                                                 "train_step",
                                                 "train_trajectory"};
  return order;
}

std::vector<Component> collect() {
  std::vector<Component> table;
  for (auto rows : {movement_rows(), rotary_rows(), qk_rows(), attention_rows(), trunk_rows(),
                    residual_rows(), embedding_rows(), linear_rows(), fp8_rows(), head_rows(),
                    block_rows(), model_rows(), polar_rows(), optimizer_rows(), normuon_rows(),
                    schedule_rows(), data_rows(), train_rows()}) {
    table.insert(table.end(), rows.begin(), rows.end());
  }
  const auto place = [](const Component& component) {
    const auto& order = table_order();
    return std::find(order.begin(), order.end(), component.name) - order.begin();
  };
  std::stable_sort(table.begin(), table.end(),
                   [&](const Component& a, const Component& b) { return place(a) < place(b); });
  return table;
}

}  // namespace

const std::vector<Component>& component_table() {
  static const std::vector<Component> table = collect();
  return table;
}

const Component& component_named(const std::string& name) {
  std::string known;
  for (const Component& component : component_table()) {
    if (component.name == name) return component;
    known += (known.empty() ? "" : ", ") + component.name;
  }
  throw InputError("component: expected one of " + known + ", got \"" + name + "\"");
}

}  // namespace pairedhead
