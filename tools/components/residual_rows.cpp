#include "reference/backout_norm.h"
#include "reference/mix_norm.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"
#include "tools/components/saturation.h"

// The fused kernels of the residual stream, as the trainer launches them.

namespace pairedhead {
namespace {

const std::vector<std::string> rows_of_tokens = {"T", "C"};

RowPlan mix_plan(bool skips) {
  RowPlan plan = {
      .name = skips ? "skip_mix_norm" : "mix_norm",
      .spec_section = "SPEC §3.3",
      .inputs = {{"x", rows_of_tokens, DType::bf16, skips ? "normal" : "case"},
                 {"x0", rows_of_tokens, DType::bf16, skips ? "case" : "normal"},
                 {"rho", {"1"}, DType::fp32, "scalar"},
                 {"lam", {"1"}, DType::fp32, "scalar"}},
      .outputs = {{"mixed", rows_of_tokens}, {"a", rows_of_tokens}},
      .incoming = {{"grad_a_gates", {"T", "12"}, DType::fp32, "normal", "gates"},
                   {"grad_x_before", rows_of_tokens, DType::bf16, "normal", "x_before"},
                   {"grad_x0_before", rows_of_tokens, DType::bf16, "normal", "x0_before"}}};
  if (skips) {
    plan.inputs.push_back({"x_skip", rows_of_tokens});
    plan.inputs.push_back({"w", {"1", "12"}});
    plan.inputs.push_back({"theta", {"1"}, DType::fp32, "scalar"});
  }
  return plan;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_mix(const CaseInputs<Scalar>& in, bool skips) {
  reference::MixNormInputs<Scalar> inputs = {in("x"), in("x0"), in.scalar("rho"), in.scalar("lam"),
                                             skips};
  if (skips) {
    inputs.x_skip = in("x_skip");
    inputs.w = in("w");
    inputs.theta = in.scalar("theta");
  }
  auto forward = reference::mix_norm(inputs);
  auto grad = reference::mix_norm_backward(
      inputs, {in("grad_mixed"), in("grad_a"), in.optional("grad_a_gates"),
               in.optional("grad_x_before"), in.optional("grad_x0_before")});
  TensorsOf<Scalar> values = {{"outputs/mixed", std::move(forward.mixed)},
                              {"outputs/a", std::move(forward.a)},
                              {"grads/x", std::move(grad.x)},
                              {"grads/x0", std::move(grad.x0)},
                              {"grads/rho", one_value(grad.rho)},
                              {"grads/lam", one_value(grad.lam)}};
  if (!skips) return values;
  values["grads/x_skip"] = std::move(grad.x_skip);
  values["grads/w"] = std::move(grad.w);
  values["grads/theta"] = one_value(grad.theta);
  return values;
}

Component mix_norm(bool skips) {
  Component component = token_row(mix_plan(skips));
  add_switches(component, {"gates", "x_before", "x0_before"});
  component.trivial = may_be_saturated;
  component.edges.clear();
  for (const char* edge : {"T=1 C=12 fill=normal gates=1 x_before=1 x0_before=1",
                           "T=300 C=13 fill=normal gates=1 x_before=1 x0_before=1",
                           "T=20 C=768 fill=tiny gates=1 x_before=0 x0_before=1",
                           "T=20 C=768 fill=normal gates=0 x_before=1 x0_before=0",
                           "T=160 C=96 fill=sharp gates=1 x_before=1 x0_before=0",
                           "T=15 C=1024 fill=normal gates=1 x_before=0 x0_before=0",
                           "T=19 C=775 fill=integers gates=0 x_before=0 x0_before=1"}) {
    component.edges.push_back(Parameters::parse(edge));
  }
  evaluate_with(component, [skips]<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    return evaluate_mix(in, skips);
  });
  return component;
}

Component backout_norm() {
  Component component = token_row({.name = "backout_norm",
                                   .spec_section = "SPEC §3.3",
                                   .inputs = {{"x", rows_of_tokens, DType::bf16, "case"},
                                              {"x_back", rows_of_tokens},
                                              {"beta", {"1"}, DType::fp32, "scalar"}},
                                   .outputs = {{"y", rows_of_tokens}}});
  component.edges.clear();
  for (const char* edge :
       {"T=1 C=12 fill=normal", "T=400 C=13 fill=normal", "T=20 C=768 fill=tiny",
        "T=160 C=96 fill=sharp", "T=15 C=1024 fill=normal", "T=19 C=775 fill=integers"}) {
    component.edges.push_back(Parameters::parse(edge));
  }
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto x = in("x"), x_back = in("x_back");
    const Scalar beta = in.scalar("beta");
    auto grad = reference::backout_norm_backward(x, x_back, beta, in("grad_y"));
    return TensorsOf<Scalar>{{"outputs/y", reference::backout_norm(x, x_back, beta)},
                             {"grads/x", std::move(grad.x)},
                             {"grads/x_back", std::move(grad.x_back)},
                             {"grads/beta", one_value(grad.beta)}};
  });
  return component;
}

}  // namespace

std::vector<Component> residual_rows() { return {mix_norm(false), mix_norm(true), backout_norm()}; }

}  // namespace pairedhead
