#include "reference/lambda_linear.h"
#include "reference/linear.h"
#include "reference/mlp.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

// Rows of channels are multiples of 16 bytes, as matrix units want them.
constexpr Index channel_step = 8;

// A row of `products` matrix products forward, each T x width x height, and twice as many backward.
Component matrix_row(const RowPlan& plan, int products, const std::string& width,
                     const std::string& height) {
  Component component = planned_row(plan);
  component.draw = [=](Random& random, double size) {
    const auto channels = [&] { return channel_step * random.integer(1, size < 0.5 ? 3 : 6); };
    return Parameters()
        .set("T", random.integer(1, 2 + static_cast<Index>(40 * size)))
        .set(width, channels())
        .set(height, channels())
        .set("fill", draw_fill(random));
  };
  set_extents(component,
              {{"T"}, {width, channel_step, channel_step}, {height, channel_step, channel_step}});
  component.work = [=, moved = component.work](const Parameters& p, bool backward) {
    Work work = moved(p, backward);
    const auto multiplied =
        static_cast<double>(p.integer("T") * p.integer(width) * p.integer(height));
    work.flops = 2 * products * (backward ? 2 : 1) * multiplied;
    return work;
  };
  return component;
}

Component linear() {
  Component component = matrix_row({"linear",
                                    "SPEC §2.3",
                                    {{"x", {"T", "K"}, DType::bf16, "case"}, {"w", {"N", "K"}}},
                                    {{"y", {"T", "N"}}}},
                                   1, "K", "N");
  component.edges = {Parameters::parse("T=1 K=8 N=8 fill=normal"),
                     Parameters::parse("T=3 K=16 N=8 fill=normal"),
                     Parameters::parse("T=120 K=64 N=48 fill=integers"),
                     Parameters::parse("T=2 K=128 N=112 fill=tiny"),
                     Parameters::parse("T=250 K=24 N=40 fill=sharp")};
  // One token of eight integers may be all zeros.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("T") * p.integer("K") < 16 && p.word("fill") == "integers";
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    auto grad = reference::linear_backward(in("x"), in("w"), in("grad_y"));
    return TensorsOf<Scalar>{{"outputs/y", reference::linear(in("x"), in("w"))},
                             {"grads/x", std::move(grad.x)},
                             {"grads/w", std::move(grad.w)}};
  });
  return component;
}

Component lambda_linear() {
  Component component = matrix_row({"lambda_linear",
                                    "SPEC §3.6",
                                    {{"a", {"T", "K"}, DType::bf16, "case"},
                                     {"w", {"N", "K"}},
                                     {"lambda", {"1"}, DType::fp32, "scalar"}},
                                    {{"u", {"T", "N"}}}},
                                   1, "K", "N");
  component.edges = {Parameters::parse("T=1 K=8 N=8 fill=normal"),
                     Parameters::parse("T=3 K=16 N=8 fill=normal"),
                     Parameters::parse("T=120 K=64 N=48 fill=sharp"),
                     Parameters::parse("T=2 K=128 N=112 fill=tiny")};
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("T") * p.integer("K") < 16 && p.word("fill") == "integers";
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding rounding) {
    const auto a = in("a"), w = in("w");
    const Scalar lambda = in.scalar("lambda");
    auto grad_w = Tensor<Scalar>::unwritten(w.shape());
    auto grad = reference::lambda_linear_backward(a, w, lambda, in("grad_u"), rounding, grad_w);
    return TensorsOf<Scalar>{{"outputs/u", reference::lambda_linear(a, w, lambda, rounding)},
                             {"grads/a", std::move(grad.a)},
                             {"grads/w", std::move(grad_w)},
                             {"grads/lambda", one_value(grad.lambda)}};
  });
  return component;
}

void check_weights(const Parameters& p) {
  if (!p.has("weights")) return;
  const std::string word = p.word("weights");
  if (word != "normal" && word != "identity") {
    throw InputError("weights: expected normal or identity, got \"" + word + "\"");
  }
}

Component mlp() {
  Component component = matrix_row({"mlp",
                                    "SPEC §3.8",
                                    {{"a", {"T", "C"}, DType::bf16, "case"},
                                     {"c_fc", {"F", "C"}, DType::bf16, "weights"},
                                     {"c_proj", {"F", "C"}, DType::bf16, "weights"}},
                                    {{"out", {"T", "C"}}}},
                                   2, "C", "F");
  component.draw = [draw = component.draw](Random& random, double size) {
    return draw(random, size).set("weights", random.integer(0, 7) == 0 ? "identity" : "normal");
  };
  // With identities for weights the row is relu_squared alone, which has no kernel of its own.
  component.edges = {Parameters::parse("T=2 C=8 F=16 fill=normal weights=normal"),
                     Parameters::parse("T=6 C=16 F=24 fill=normal weights=identity"),
                     Parameters::parse("T=5 C=16 F=8 fill=normal weights=normal"),
                     Parameters::parse("T=60 C=64 F=96 fill=integers weights=normal"),
                     Parameters::parse("T=200 C=40 F=24 fill=tiny weights=normal")};
  component.check = [check = component.check](const Parameters& p) {
    check(p);
    check_weights(p);
  };
  component.shrink = [shrink = component.shrink](const Parameters& p) {
    auto smaller = shrink(p);
    if (p.word("weights") != "normal") smaller.push_back(Parameters(p).set("weights", "normal"));
    return smaller;
  };
  // All hidden channels of a few may be negative.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("T") * std::min(p.integer("F"), p.integer("C")) < 64;
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding rounding) {
    const auto a = in("a"), c_fc = in("c_fc"), c_proj = in("c_proj");
    auto grad = reference::mlp_backward(a, c_fc, c_proj, in("grad_out"), rounding);
    return TensorsOf<Scalar>{{"outputs/out", reference::mlp(a, c_fc, c_proj, rounding)},
                             {"grads/a", std::move(grad.a)},
                             {"grads/c_fc", std::move(grad.c_fc)},
                             {"grads/c_proj", std::move(grad.c_proj)}};
  });
  return component;
}

}  // namespace

std::vector<Component> linear_rows() { return {linear(), lambda_linear(), mlp()}; }

}  // namespace pairedhead
