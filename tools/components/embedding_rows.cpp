#include <algorithm>
#include <array>

#include "reference/embed_smear_norm.h"
#include "reference/embedding.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"
#include "tools/components/saturation.h"

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
  component.fused_into = "embed_smear_norm";
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
  // Forward reads and writes a row a token; backward reads it and writes every row of the table's.
  component.work = [](const Parameters& p, bool backward) {
    const Index rows = p.integer("T") + (backward ? p.integer("V") : p.integer("T"));
    return Work{3 * 2 * static_cast<double>(rows * p.integer("C")), 0};
  };
  // Two tokens share 4000 places: sums of thousands of rows.
  component.edges.push_back(Parameters::parse("T=4000 C=12 V=2 fill=normal"));
  component.edges.push_back(Parameters::parse("T=100 C=300 V=9 fill=normal"));
  component.edges.push_back(Parameters::parse("T=90 C=261 V=5 fill=normal"));
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

// Lookup, smear and norm as the trainer launches them, and the scatter into the table's gradient.
Component embed_smear_norm() {
  const RowPlan plan = {
      .name = "embed_smear_norm",
      .spec_section = "SPEC §3.1",
      .inputs = {{"tokens", {"T"}, DType::int32, "tokens"},
                 {"table", {"V", "C"}, DType::bf16, "case"},
                 {"w", {"1", "12"}},
                 {"lam", {"1"}, DType::fp32, "scalar"}},
      .outputs = {{"x0", {"T", "C"}}},
      .incoming = {{"grad_x", {"T", "C"}, DType::bf16, "normal", "entry"},
                   {"grad_table_before", {"V", "C"}, DType::bf16, "normal", "tied"}}};
  Component component = table_row(plan);
  add_switches(component, {"entry", "tied"});
  component.edges.clear();
  for (const char* edge :
       {"T=8 C=12 V=3 fill=normal entry=1 tied=1", "T=300 C=13 V=800 fill=normal entry=1 tied=1",
        "T=500 C=32 V=300 fill=tiny entry=1 tied=0", "T=33 C=768 V=20 fill=sharp entry=0 tied=0",
        "T=18 C=1024 V=3 fill=normal entry=1 tied=1",
        "T=17 C=775 V=30 fill=normal entry=0 tied=0"}) {
    component.edges.push_back(Parameters::parse(edge));
  }
  // Other inputs where the gate would have no gradient.
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t seed) {
    Arrays arrays = inputs(p, seed);
    const auto saturated = [&] {
      const CaseInputs<double> in(arrays);
      return all_saturated(reference::embedding(in.indices("tokens"), in("table")), in("w"), 1);
    };
    for (Random random(seed); saturated();) arrays = inputs(p, random.bits());
    return arrays;
  };
  // The first token is left alone: with no other, nothing reaches the gate.
  component.trivial = [](const Parameters& p, const OutputRow& row) {
    return p.integer("T") == 1 && (row.name == "w" || row.name == "lam");
  };
  // Forward reads a row a token and writes one; backward reads it, what comes in, and the gradient
  // of the rows that it wrote, and writes every row of the table's.
  component.work = [](const Parameters& p, bool backward) {
    const auto rows = [&](Index count) { return 2 * static_cast<double>(count * p.integer("C")); };
    const Index tokens = p.integer("T"), entry = p.integer("entry");
    if (!backward) return Work{rows(2 * tokens), 0};
    const Index tables = p.integer("tied") == 1 ? 2 : 1;
    return Work{rows((4 + entry) * tokens + tables * p.integer("V")), 0};
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding rounding) {
    const auto tokens = in.indices("tokens");
    const auto table = in("table"), w = in("w");
    const Scalar lam = in.scalar("lam");
    Tensor<Scalar> grad_x0 = in("grad_x0");
    const Tensor<Scalar> grad_x = in.optional("grad_x");
    for (Index i = 0; i < grad_x.size(); ++i) grad_x0[i] += grad_x[i];
    auto grad = reference::embed_smear_norm_backward(tokens, table, w, lam, grad_x0,
                                                     in.optional("grad_table_before"), rounding);
    return TensorsOf<Scalar>{{"outputs/x0", reference::embed_smear_norm(tokens, table, w, lam)},
                             {"grads/table", std::move(grad.table)},
                             {"grads/w", std::move(grad.w)},
                             {"grads/lam", one_value(grad.lam)}};
  });
  return component;
}

}  // namespace

std::vector<Component> embedding_rows() {
  return {embedding(), value_embedding(), embed_smear_norm()};
}

}  // namespace pairedhead
