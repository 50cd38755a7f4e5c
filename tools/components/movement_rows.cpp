#include "reference/interleave.h"
#include "reference/key_shift.h"
#include "tools/components/fill.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

// Elements of one tensor in the largest fuzzed case.
constexpr Index largest_tensor = 400 * 6 * 128;

Parameters draw_pairing(Random& random, double size) {
  return draw_token_shape(random, size, true, largest_tensor)
      .set("pairing", std::string(random.integer(0, 1) == 0 ? "strided" : "adjacent"));
}

void check_pairing(const Parameters& parameters) {
  check_tokens(parameters);
  check_heads(parameters, true);
  check_head_dim(parameters);
  if (pairing_of(parameters) == Pairing::none) {
    throw InputError("pairing: expected strided or adjacent, got none");
  }
}

std::vector<Parameters> pairing_edges() {
  std::vector<Parameters> edges;
  for (const char* shape : {"T=1 H=2 D=16", "T=1 H=6 D=128", "T=3 H=4 D=24", "T=17 H=6 D=16"}) {
    for (const char* pairing : {" pairing=strided", " pairing=adjacent"}) {
      edges.push_back(Parameters::parse(std::string(shape) + pairing));
    }
  }
  return edges;
}

Shape heads_shape(const Parameters& p) { return {p.integer("T"), p.integer("H"), p.integer("D")}; }

Shape flat_shape(const Parameters& p) {
  return {2 * p.integer("T"), p.integer("H") / 2, p.integer("D")};
}

// Movement of [T, H, D] to another order and, as its adjoint, of the gradient back.
Component movement(const std::string& name, bool to_flat) {
  const std::string from = to_flat ? "x" : "flat", to = to_flat ? "flat" : "x";
  Component component;
  component.name = name;
  component.spec_section = "SPEC §3.7";
  component.judgement = Judgement::bitwise;
  // `strided` keeps the memory order, so both results are copies of their inputs.
  component.outputs = {
      {.name = to, .is_gradient = false, .dtype = DType::bf16, .may_be_trivial = true},
      {.name = from, .is_gradient = true, .dtype = DType::bf16, .may_be_trivial = true}};
  component.draw = draw_pairing;
  component.edges = pairing_edges();
  component.shrink = [](const Parameters& p) { return shrink_token_shape(p, true); };
  component.check = check_pairing;
  component.inputs = [=](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    Arrays arrays;
    arrays[from] =
        filled("normal", DType::bf16, to_flat ? heads_shape(p) : flat_shape(p), random.split(1));
    arrays["grad_" + to] =
        filled("normal", DType::bf16, to_flat ? flat_shape(p) : heads_shape(p), random.split(2));
    return arrays;
  };
  component.output_shape = [=](const Parameters& p, const OutputRow& output) {
    return output.name == "flat" ? flat_shape(p) : heads_shape(p);
  };
  component.reference = [=](const Parameters& p, const Arrays& arrays, Rounding) {
    const auto flatten = [&](const std::string& input) {
      return reference::interleave(to_tensor(arrays.at(input)), pairing_of(p));
    };
    const auto restore = [&](const std::string& input) {
      return reference::deinterleave(to_tensor(arrays.at(input)), pairing_of(p));
    };
    Values values;
    values["outputs/" + to] = to_flat ? flatten(from) : restore(from);
    values["grads/" + from] = to_flat ? restore("grad_" + to) : flatten("grad_" + to);
    return values;
  };
  component.fused_into = "attention_paired";
  return component;
}

Component key_shift() {
  Component component;
  component.name = "key_shift";
  component.spec_section = "SPEC §3.6";
  // Forward moves values; backward adds at most two of them, with one rounding.
  component.judgement = Judgement::ratio;
  component.outputs = {{.name = "y", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "k", .is_gradient = true, .dtype = DType::bf16}};
  component.draw = [](Random& random, double size) {
    return draw_token_shape(random, size, false, largest_tensor / 4);
  };
  component.edges = {Parameters::parse("T=1 H=1 D=16"), Parameters::parse("T=2 H=6 D=128"),
                     Parameters::parse("T=3 H=2 D=24"), Parameters::parse("T=33 H=6 D=64")};
  component.shrink = [](const Parameters& p) { return shrink_token_shape(p, false); };
  component.check = [](const Parameters& p) {
    check_tokens(p);
    check_heads(p, false);
    check_head_dim(p);
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    return Arrays{{"k", filled("normal", DType::bf16, heads_shape(p), random.split(1))},
                  {"grad_y", filled("normal", DType::bf16, heads_shape(p), random.split(2))}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) { return heads_shape(p); };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    return Values{{"outputs/y", reference::key_shift(to_tensor(arrays.at("k")))},
                  {"grads/k", reference::key_shift_backward(to_tensor(arrays.at("grad_y")))}};
  };
  component.magnitude = [](const Parameters&, const Arrays& arrays) {
    Tensor<double> key = to_tensor(arrays.at("k")), grad = to_tensor(arrays.at("grad_y"));
    for (double& x : key.values()) x = std::abs(x);
    for (double& x : grad.values()) x = std::abs(x);
    return Values{{"outputs/y", reference::key_shift(key)},
                  {"grads/k", reference::key_shift_backward(grad)}};
  };
  // One token is shifted onto itself: a copy.
  component.trivial = [](const Parameters& p, const OutputRow&) { return p.integer("T") == 1; };
  component.fused_into = "qk_prepare";
  return component;
}

}  // namespace

std::vector<Component> movement_rows() {
  return {movement("interleave", true), movement("deinterleave", false), key_shift()};
}

}  // namespace pairedhead
