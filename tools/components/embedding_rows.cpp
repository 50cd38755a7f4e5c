#include <algorithm>
#include <array>

#include "reference/embedding.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

// A row that reads tables of V rows at T tokens.
Component table_row(const RowPlan& plan) {
  Component component = planned_row(plan);
  component.draw = [](Random& random, double size) {
    constexpr std::array<Index, 5> widths = {16, 96, 12, 40, 128};
    const Index width = widths[static_cast<std::size_t>(random.integer(0, 4))];
    const Index tokens = draw_tokens(random, size, 2 * width);
    return Parameters()
        .set("T", tokens)
        .set("C", width)
        .set("V", random.integer(2, std::max<Index>(3, 3000 / width)))
        .set("fill", draw_fill(random));
  };
  component.edges = {Parameters::parse("T=1 C=12 V=2 fill=normal"),
                     Parameters::parse("T=8 C=12 V=2 fill=normal"),
                     Parameters::parse("T=2 C=12 V=20 fill=normal"),
                     Parameters::parse("T=500 C=32 V=300 fill=tiny")};
  set_extents(component, {{"T", 1}, {"C", 12}, {"V", 2}});
  return component;
}

Component embedding() {
  Component component = table_row(
      {"embedding",
       "SPEC §3.1",
       {{"tokens", {"T"}, DType::int32, "tokens"}, {"table", {"V", "C"}, DType::bf16, "case"}},
       {{"e", {"T", "C"}}},
       {"outputs/e"}});
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto table = in("table");
    const auto tokens = in.indices("tokens");
    return TensorsOf<Scalar>{
        {"outputs/e", reference::embedding(tokens, table)},
        {"grads/table", reference::embedding_backward(tokens, in("grad_e"), table.dim(0))}};
  });
  return component;
}

Component value_embedding() {
  RowPlan plan = {"value_embedding", "SPEC §3.1", {{"tokens", {"T"}, DType::int32, "tokens"}}, {}};
  for (const std::string n : {"0", "1", "2"}) {
    plan.inputs.push_back({"value_embed_" + n, {"V", "C"}, DType::bf16, "case"});
    plan.outputs.push_back({"ve_" + n, {"T", "C"}});
    plan.moved.push_back("outputs/ve_" + n);
  }
  Component component = table_row(plan);
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    using Three = reference::ThreeTensors<Scalar>;
    const auto tokens = in.indices("tokens");
    const Three tables = {in("value_embed_0"), in("value_embed_1"), in("value_embed_2")};
    Three ve = reference::value_embedding(tokens, tables);
    Three grad = reference::value_embedding_backward(
        tokens, Three{in("grad_ve_0"), in("grad_ve_1"), in("grad_ve_2")}, tables[0].dim(0));
    TensorsOf<Scalar> values;
    for (std::size_t n = 0; n < 3; ++n) {
      values["outputs/ve_" + std::to_string(n)] = std::move(ve[n]);
      values["grads/value_embed_" + std::to_string(n)] = std::move(grad[n]);
    }
    return values;
  });
  return component;
}

}  // namespace

std::vector<Component> embedding_rows() { return {embedding(), value_embedding()}; }

}  // namespace pairedhead
