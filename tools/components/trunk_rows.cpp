#include "reference/backout.h"
#include "reference/output_gate.h"
#include "reference/relu_squared.h"
#include "reference/residual_mix.h"
#include "reference/rms_norm.h"
#include "reference/skip.h"
#include "reference/smear.h"
#include "reference/value_mix.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"
#include "tools/components/saturation.h"

namespace pairedhead {
namespace {

constexpr Index largest_heads = 12000;

Component rms_norm() {
  Component component =
      token_row({.name = "rms_norm",
                 .spec_section = "SPEC §3",
                 .inputs = {{"x", {"T", "C"}, DType::bf16, "case"}},
                 .outputs = {{"y", {"T", "C"}}},
                 .incoming = {{"grad_residual", {"T", "C"}, DType::bf16, "normal", "residual"}}});
  add_switches(component, {"residual"});
  component.edges.push_back(Parameters::parse("T=20 C=768 fill=normal residual=1"));
  component.edges.push_back(Parameters::parse("T=19 C=775 fill=normal residual=1"));
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    Tensor<Scalar> grad_x = reference::rms_norm_backward(in("x"), in("grad_y"));
    const Tensor<Scalar> residual = in.optional("grad_residual");
    for (Index i = 0; i < residual.size(); ++i) grad_x[i] += residual[i];
    return TensorsOf<Scalar>{{"outputs/y", reference::rms_norm(in("x"))},
                             {"grads/x", std::move(grad_x)}};
  });
  return component;
}

Component relu_squared() {
  Component component = token_row(
      {"relu_squared", "SPEC §3.8", {{"p", {"T", "C"}, DType::bf16, "case"}}, {{"h", {"T", "C"}}}});
  component.fused_into = "mlp";
  // Few values may all be negative, and constant ones have equal squares.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("T") * p.integer("C") < 64 || p.word("fill") == "constant";
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    return TensorsOf<Scalar>{{"outputs/h", reference::relu_squared(in("p"))},
                             {"grads/p", reference::relu_squared_backward(in("p"), in("grad_h"))}};
  });
  return component;
}

Component residual_mix() {
  Component component = token_row({"residual_mix",
                                   "SPEC §3.3",
                                   {{"x", {"T", "C"}, DType::bf16, "case"},
                                    {"x0", {"T", "C"}},
                                    {"rho", {"1"}, DType::fp32, "scalar"},
                                    {"lam", {"1"}, DType::fp32, "scalar"}},
                                   {{"mixed", {"T", "C"}}}});
  component.fused_into = "mix_norm";
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto x = in("x"), x0 = in("x0");
    const Scalar rho = in.scalar("rho"), lam = in.scalar("lam");
    auto grad = reference::residual_mix_backward(x, x0, rho, lam, in("grad_mixed"));
    return TensorsOf<Scalar>{{"outputs/mixed", reference::residual_mix(x, x0, rho, lam)},
                             {"grads/x", std::move(grad.x)},
                             {"grads/x0", std::move(grad.x0)},
                             {"grads/rho", one_value(grad.rho)},
                             {"grads/lam", one_value(grad.lam)}};
  });
  return component;
}

Component backout() {
  Component component = token_row({"backout",
                                   "SPEC §3.3",
                                   {{"x", {"T", "C"}, DType::bf16, "case"},
                                    {"x_back", {"T", "C"}},
                                    {"beta", {"1"}, DType::fp32, "scalar"}},
                                   {{"reduced", {"T", "C"}}},
                                   {"grads/x"}});
  component.fused_into = "backout_norm";
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto x = in("x"), x_back = in("x_back");
    const Scalar beta = in.scalar("beta");
    auto grad = reference::backout_backward(x, x_back, beta, in("grad_reduced"));
    return TensorsOf<Scalar>{{"outputs/reduced", reference::backout(x, x_back, beta)},
                             {"grads/x", std::move(grad.x)},
                             {"grads/x_back", std::move(grad.x_back)},
                             {"grads/beta", one_value(grad.beta)}};
  });
  return component;
}

Component skip() {
  Component component = token_row({"skip",
                                   "SPEC §3.3",
                                   {{"x", {"T", "C"}},
                                    {"x_skip", {"T", "C"}},
                                    {"x0", {"T", "C"}, DType::bf16, "case"},
                                    {"w", {"1", "12"}},
                                    {"theta", {"1"}, DType::fp32, "scalar"}},
                                   {{"mixed", {"T", "C"}}},
                                   {"grads/x"}});
  component.fused_into = "skip_mix_norm";
  component.trivial = may_be_saturated;
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto x = in("x"), x_skip = in("x_skip"), x0 = in("x0"), w = in("w");
    const Scalar theta = in.scalar("theta");
    auto grad = reference::skip_backward(x, x_skip, x0, w, theta, in("grad_mixed"));
    return TensorsOf<Scalar>{{"outputs/mixed", reference::skip(x, x_skip, x0, w, theta)},
                             {"grads/x", std::move(grad.x)},
                             {"grads/x_skip", std::move(grad.x_skip)},
                             {"grads/x0", std::move(grad.x0)},
                             {"grads/w", std::move(grad.w)},
                             {"grads/theta", one_value(grad.theta)}};
  });
  return component;
}

Component smear() {
  Component component = token_row({"smear",
                                   "SPEC §3.1",
                                   {{"e", {"T", "C"}, DType::bf16, "case"},
                                    {"w", {"1", "12"}},
                                    {"lam", {"1"}, DType::fp32, "scalar"}},
                                   {{"s", {"T", "C"}}}});
  component.fused_into = "embed_smear_norm";
  // The first token is left alone: with no other, nothing reaches the gate.
  component.trivial = [](const Parameters& p, const OutputRow& row) {
    return p.integer("T") == 1 || may_be_saturated(p, row);
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto e = in("e"), w = in("w");
    const Scalar lam = in.scalar("lam");
    auto grad = reference::smear_backward(e, w, lam, in("grad_s"));
    return TensorsOf<Scalar>{{"outputs/s", reference::smear(e, w, lam)},
                             {"grads/e", std::move(grad.e)},
                             {"grads/w", std::move(grad.w)},
                             {"grads/lam", one_value(grad.lam)}};
  });
  return component;
}

// A row over [T, H, D] beside what gates read, [T, H*D]. A call moves `tensors_forward` and
// `tensors_backward` of the former and 12 channels of the latter, whose gradient is fp32 there.
Component head_row(const RowPlan& plan, int tensors_forward, int tensors_backward) {
  Component component = planned_row(plan);
  component.work = [=](const Parameters& p, bool backward) {
    const auto rows = static_cast<double>(p.integer("T") * p.integer("H"));
    const auto gated = rows * static_cast<double>(p.integer("D"));
    const auto read = static_cast<double>(12 * p.integer("T"));
    return Work{.bytes = 2 * (backward ? tensors_backward : tensors_forward) * gated +
                         (backward ? 6 : 2) * read};
  };
  component.draw = [](Random& random, double size) {
    return draw_token_shape(random, size, false, largest_heads).set("fill", draw_fill(random));
  };
  component.edges = {Parameters::parse("T=1 H=1 D=16 fill=normal"),
                     Parameters::parse("T=2 H=6 D=16 fill=sharp"),
                     Parameters::parse("T=3 H=2 D=24 fill=integers"),
                     Parameters::parse("T=10 H=6 D=128 fill=normal"),
                     Parameters::parse("T=50 H=6 D=32 fill=tiny")};
  component.check = [](const Parameters& p) {
    check_tokens(p);
    check_heads(p, false);
    check_head_dim(p);
  };
  component.shrink = [](const Parameters& p) { return shrink_token_shape(p, false); };
  // Other inputs where the gates would have no gradient.
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t seed) {
    Arrays arrays = inputs(p, seed);
    Random random(seed);
    while (all_saturated(to_tensor(arrays.at("a")), to_tensor(arrays.at("w")))) {
      arrays = inputs(p, random.bits());
    }
    return arrays;
  };
  return component;
}

Component output_gate() {
  Component component = head_row(
      {"output_gate",
       "SPEC §3.6",
       {{"y", {"T", "H", "D"}}, {"a", {"T", "H*D"}, DType::bf16, "case"}, {"w", {"H", "12"}}},
       {{"gated", {"T", "H", "D"}}}},
      2, 3);
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto y = in("y"), a = in("a"), w = in("w");
    auto grad = reference::output_gate_backward(y, a, w, in("grad_gated"));
    return TensorsOf<Scalar>{{"outputs/gated", reference::output_gate(y, a, w)},
                             {"grads/y", std::move(grad.y)},
                             {"grads/a", std::move(grad.a)},
                             {"grads/w", std::move(grad.w)}};
  });
  return component;
}

Component value_mix() {
  Component component = head_row({"value_mix",
                                  "SPEC §3.6",
                                  {{"v", {"T", "H", "D"}},
                                   {"ve", {"T", "H*D"}},
                                   {"a", {"T", "H*D"}, DType::bf16, "case"},
                                   {"w", {"H", "12"}}},
                                  {{"mixed", {"T", "H", "D"}}},
                                  {"grads/v"}},
                                 3, 3);
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    const auto v = in("v"), ve = in("ve"), a = in("a"), w = in("w");
    auto grad = reference::value_mix_backward(v, ve, a, w, in("grad_mixed"));
    return TensorsOf<Scalar>{{"outputs/mixed", reference::value_mix(v, ve, a, w)},
                             {"grads/v", std::move(grad.v)},
                             {"grads/ve", std::move(grad.ve)},
                             {"grads/a", std::move(grad.a)},
                             {"grads/w", std::move(grad.w)}};
  });
  return component;
}

}  // namespace

std::vector<Component> trunk_rows() {
  return {rms_norm(), relu_squared(), residual_mix(), backout(),
          skip(),     smear(),        output_gate(),  value_mix()};
}

}  // namespace pairedhead
