#include "reference/head.h"
#include "reference/softcap.h"
#include "reference/softcap_loss.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

// T and V drawn together, so that a case stays small.
Parameters draw_logits(Random& random, double size) {
  const Index vocabulary = random.integer(2, 20 + static_cast<Index>(300 * size));
  return Parameters()
      .set("T", draw_tokens(random, size / 2, vocabulary))
      .set("V", vocabulary)
      .set("fill", draw_fill(random));
}

Component softcap() {
  Component component = planned_row(
      {"softcap", "SPEC §3.8", {{"z", {"T", "V"}, DType::bf16, "case"}}, {{"l", {"T", "V"}}}});
  component.draw = draw_logits;
  component.edges = {Parameters::parse("T=1 V=2 fill=normal"),
                     Parameters::parse("T=3 V=40 fill=sharp"),
                     Parameters::parse("T=5 V=17 fill=integers")};
  set_extents(component, {{"T"}, {"V", 2}});
  component.fused_into = "softcap_loss";
  // Few integers may all be the same.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("T") * p.integer("V") < 16;
  };
  evaluate_with(component, []<class Scalar>(const CaseInputs<Scalar>& in, Rounding) {
    return TensorsOf<Scalar>{{"outputs/l", reference::softcap(in("z"))},
                             {"grads/z", reference::softcap_backward(in("z"), in("grad_l"))}};
  });
  return component;
}

void check_validation(const Parameters& p) {
  if (p.integer("validation") != 0 && p.integer("validation") != 1) {
    throw InputError("validation: expected 0 or 1, got " + p.word("validation"));
  }
}

void scale(double factor, Array& array) {
  for (Index i = 0; i < array.size(); ++i) array.set(i, factor * array.at(i));
}

template <class Scalar>
TensorsOf<Scalar> evaluate_head(const CaseInputs<Scalar>& in, bool validation) {
  const auto form = reference::head_form(reference::HeadForm::fp8, validation);
  const auto x = in("x"), lm_head = in("lm_head");
  auto grad = reference::head_backward(x, lm_head, in("grad_z"), form);
  return {{"outputs/z", reference::head(x, lm_head, form)},
          {"grads/x", std::move(grad.x)},
          {"grads/lm_head", std::move(grad.w)}};
}

// The operands come unquantised: quantising them is a sequence of fp32 operations that everybody
// carries out alike, and part of the component.
Component head_fp8() {
  Component component = planned_row(
      {"head_fp8",
       "SPEC §3.8",
       {{"x", {"T", "C"}, DType::bf16, "case"}, {"lm_head", {"V", "C"}, DType::bf16, "normal"}},
       {{"z", {"T", "V"}}}});
  // Weights up to the 1.6 where they saturate, gradients down to e5m2's subnormals.
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t seed) {
    Arrays arrays = inputs(p, seed);
    scale(0x1p-1, arrays.at("lm_head"));
    scale(seed % 2 == 0 ? 0x1p-11 : 0x1p-22, arrays.at("grad_z"));
    return arrays;
  };
  component.draw = [](Random& random, double size) {
    return Parameters()
        .set("T", 16 * random.integer(1, 1 + static_cast<Index>(2 * size)))
        .set("C", 16 * random.integer(1, 3))
        .set("V", 16 * random.integer(1, 3))
        .set("fill", draw_fill(random))
        .set("validation", random.integer(0, 5) == 0 ? 1 : 0);
  };
  component.edges = {Parameters::parse("T=16 C=16 V=16 validation=0 fill=normal"),
                     Parameters::parse("T=16 C=16 V=16 validation=1 fill=normal"),
                     Parameters::parse("T=16 C=16 V=16 validation=0 fill=sharp")};
  // What matrix units take in fp8, and the record has (SPEC §1).
  set_extents(component, {{"T", 16, 16}, {"C", 16, 16}, {"V", 16, 16}});
  component.check = [check = component.check](const Parameters& p) {
    check(p);
    check_validation(p);
  };
  component.work = [moved = component.work](const Parameters& p, bool backward) {
    Work work = moved(p, backward);
    work.flops =
        (backward ? 4 : 2) * static_cast<double>(p.integer("T") * p.integer("C") * p.integer("V"));
    return work;
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    return evaluate_head(CaseInputs<double>(arrays), p.integer("validation") == 1);
  };
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    return magnitudes(evaluate_head(CaseInputs<Magnitude>(arrays), p.integer("validation") == 1));
  };
  component.accumulator = [](const Parameters& p, const OutputRow&) {
    return p.integer("validation") == 1 ? fp32_accumulator : fp8_accumulator;
  };
  return component;
}

// The weights of the horizons, 1 and then smaller ones: no gradient is asked for them.
Array mtp_weights(Index horizons, Random random) {
  Array weights(DType::fp32, {horizons});
  weights.set(0, 1);
  for (Index k = 1; k < horizons; ++k) weights.set(k, 0.6 * random.uniform01());
  return weights;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_loss(const CaseInputs<Scalar>& in, bool validation) {
  const auto z = in("z"), weights = in("mtp_weights");
  const auto targets = in.indices("targets");
  reference::LossSettings settings = {.mtp_weights = {}, .validation = validation};
  for (const Scalar& weight : weights.values()) {
    if constexpr (std::is_same_v<Scalar, Magnitude>) {
      settings.mtp_weights.push_back(weight.value);
    } else {
      settings.mtp_weights.push_back(weight);
    }
  }
  auto forward = reference::softcap_loss(z, targets, settings);
  auto grad_z = reference::softcap_loss_backward(z, forward.logsumexp, targets, settings,
                                                 in.scalar("grad_loss"));
  return {{"outputs/loss", one_value(forward.loss)},
          {"outputs/logsumexp", std::move(forward.logsumexp)},
          {"grads/z", std::move(grad_z)}};
}

Component softcap_loss() {
  Component component = planned_row(
      {"softcap_loss",
       "SPEC §3.9",
       {{"z", {"T", "V"}, DType::bf16, "case"}, {"targets", {"T"}, DType::int32, "tokens"}},
       {{"loss", {"1"}, DType::fp32}}});
  component.outputs.push_back({.name = "logsumexp", .is_gradient = false, .dtype = DType::fp32});
  component.output_shape = [shape = component.output_shape](const Parameters& p,
                                                            const OutputRow& row) {
    return row.name == "logsumexp" ? Shape{p.integer("T")} : shape(p, row);
  };
  component.inputs = [inputs = component.inputs](const Parameters& p, std::uint64_t seed) {
    Arrays arrays = inputs(p, seed);
    arrays["mtp_weights"] = mtp_weights(p.integer("horizons"), Random(seed).split(100));
    return arrays;
  };
  component.draw = [](Random& random, double size) {
    return draw_logits(random, size)
        .set("horizons", random.integer(1, 3))
        .set("validation", random.integer(0, 4) == 0 ? 1 : 0);
  };
  component.edges = {Parameters::parse("T=1 V=2 horizons=3 validation=0 fill=normal"),
                     Parameters::parse("T=2 V=3 horizons=3 validation=0 fill=sharp"),
                     Parameters::parse("T=9 V=3 horizons=3 validation=0 fill=normal"),
                     Parameters::parse("T=8 V=40 horizons=2 validation=0 fill=normal"),
                     Parameters::parse("T=4 V=33 horizons=1 validation=0 fill=tiny"),
                     Parameters::parse("T=7 V=20 horizons=2 validation=1 fill=normal")};
  set_extents(component, {{"T"}, {"V", 2}, {"horizons"}});
  component.check = [check = component.check](const Parameters& p) {
    check(p);
    if (p.integer("horizons") > 3) {
      throw InputError("horizons: expected 1 to 3, got " + p.word("horizons"));
    }
    check_validation(p);
  };
  component.shrink = [shrink = component.shrink](const Parameters& p) {
    auto smaller = shrink(p);
    if (p.integer("validation") == 1) smaller.push_back(Parameters(p).set("validation", 0));
    return smaller;
  };
  // Rows of few integers may have one and the same sum.
  component.trivial = [](const Parameters& p, const OutputRow& row) {
    return row.name == "logsumexp" && p.integer("T") * p.integer("V") < 64;
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    return evaluate_loss(CaseInputs<double>(arrays), p.integer("validation") == 1);
  };
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    return magnitudes(evaluate_loss(CaseInputs<Magnitude>(arrays), p.integer("validation") == 1));
  };
  return component;
}

Tensor<double> transposed(const Tensor<double>& x) {
  Tensor<double> result({x.dim(1), x.dim(0)});
  for (Index i = 0; i < x.dim(0); ++i) {
    for (Index j = 0; j < x.dim(1); ++j) result(j, i) = x(i, j);
  }
  return result;
}

// The head's gradient as the fp8 trainer takes it: dz rounded to bf16, then to e5m2, in both
// layouts (SPEC §3.10 "dz"). The codes are judged as the quantisation of the target's own bf16
// gradient; twice a byte, they are moved at the cost of the bf16 gradient, which a trainer need not
// store.
Component softcap_loss_fp8() {
  Component component = softcap_loss();
  component.name = "softcap_loss_fp8";
  component.spec_section = "SPEC §3.10";
  for (const char* name : {"codes", "codes_transposed"}) {
    component.outputs.push_back(
        {.name = name, .is_gradient = false, .dtype = DType::e5m2, .bitwise = true});
  }
  component.stages = {"grads/z"};
  component.output_shape = [shape = component.output_shape](const Parameters& p,
                                                            const OutputRow& row) {
    if (row.name == "codes") return Shape{p.integer("T"), p.integer("V")};
    if (row.name == "codes_transposed") return Shape{p.integer("V"), p.integer("T")};
    return shape(p, row);
  };
  component.draw = [draw = component.draw](Random& random, double size) {
    Parameters logits = draw(random, size);
    if (random.integer(0, 1) == 0) return logits;
    // As the trainer has it.
    for (const char* extent : {"T", "V"}) {
      logits.set(extent, (logits.integer(extent) + 15) / 16 * 16);
    }
    return logits;
  };
  component.edges = {Parameters::parse("T=3 V=5 horizons=3 validation=0 fill=sharp"),
                     Parameters::parse("T=16 V=16 horizons=2 validation=0 fill=normal"),
                     Parameters::parse("T=130 V=136 horizons=1 validation=0 fill=normal"),
                     Parameters::parse("T=144 V=160 horizons=3 validation=0 fill=normal")};
  component.reference = [reference = component.reference](const Parameters& p, const Arrays& arrays,
                                                          Rounding rounding) {
    Values values = reference(p, arrays, rounding);
    const auto given = arrays.find("grads/z");
    const Tensor<double> codes = reference::head_gradient_codes(
        given != arrays.end() ? to_tensor(given->second) : values.at("grads/z"));
    values["outputs/codes_transposed"] = transposed(codes);
    values["outputs/codes"] = codes;
    return values;
  };
  return component;
}

}  // namespace

std::vector<Component> head_rows() {
  return {head_fp8(), softcap(), softcap_loss(), softcap_loss_fp8()};
}

}  // namespace pairedhead
