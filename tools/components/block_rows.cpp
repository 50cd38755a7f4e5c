#include <algorithm>

#include "reference/block.h"
#include "reference/linear.h"
#include "tools/components/documents.h"
#include "tools/components/fill.h"
#include "tools/components/model_case.h"
#include "tools/components/model_layout.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::Config;

// The two layers of a configuration whose second is the block under test.
Config block_config(const Parameters& p) {
  Parameters model = p;
  model.set("layers", "s0," + p.word("layer") + "0").set("V", Index{2});
  return model_config(model.set("skip", std::vector<Index>{0, 1}).set("backout", Index{0}));
}

struct BlockTensors {
  Shape shape;
  DType dtype;
};

// What goes in, by name, apart from the integers.
std::map<std::string, BlockTensors> block_tensors(const Parameters& p) {
  const Index tokens = p.integer("T"), heads = p.integer("H"), width = heads * p.integer("D");
  const Shape stream = {tokens, width}, mlp = {p.integer("F"), width}, gates = {heads, 12};
  std::map<std::string, BlockTensors> tensors;
  for (const char* name : {"x", "x0", "x_skip", "ve"}) tensors[name] = {stream, DType::bf16};
  tensors["qkvo"] = {{4 * width, width}, DType::bf16};
  for (const char* name : {"c_fc", "c_proj"}) tensors[name] = {mlp, DType::bf16};
  for (const char* name : {"attn_gate", "ve_gate"}) tensors[name] = {gates, DType::bf16};
  tensors["skip_gate"] = {{1, 12}, DType::bf16};
  tensors["lambdas"] = {{5}, DType::fp32};  // rho, lam, alpha, omega, theta
  return tensors;
}

Arrays draw_block(const Parameters& p, Random random) {
  Arrays arrays;
  std::uint64_t stream = 0;
  const Index width = p.integer("H") * p.integer("D");
  for (const auto& [name, tensor] : block_tensors(p)) {
    Random source = random.split(++stream);
    const bool matrix = name == "qkvo" || name.starts_with("c_");
    arrays[name] = tensor.dtype == DType::fp32 ? lambdas(tensor.shape, source)
                                               : scaled_normal(tensor.dtype, tensor.shape,
                                                               !matrix      ? 1
                                                               : width < 32 ? 0.25
                                                                            : 0.125,
                                                               source);
  }
  arrays["grad_out"] = filled("normal", DType::bf16, arrays.at("x").shape, random.split(++stream));
  arrays["cu_seqlens"] = from_indices(cu_seqlens_of(p.integers("documents")));
  arrays["window"] = from_indices({p.integer("short_window")});
  add_rotary(p, arrays);
  return arrays;
}

// A case as the reference takes it.
template <class Scalar>
struct BlockCase {
  BlockCase(const Parameters& p, const Arrays& arrays)
      : in(arrays), config(block_config(p)), rotary(rotary_of(arrays)) {
    const reference::RotaryTable table =
        reference::rotary_table(rotary.frequency, x.dim(0), config.layers[1].paired);
    factors = {cast<Scalar>(table.cosine), cast<Scalar>(table.sine)};
    settings = {.attention = true,
                .skip = true,
                .layer = {.heads = config.heads,
                          .attention = {.pairing = config.pairing_of(1),
                                        .window = to_indices(arrays.at("window"))[0],
                                        .softmax_scale = rotary.softmax_scale,
                                        .cu_seqlens = to_indices(arrays.at("cu_seqlens"))},
                          .shift_keys = config.layers[1].shift_keys}};
  }

  CaseInputs<Scalar> in;
  Config config;
  reference::RotaryState rotary;
  Tensor<Scalar> x = in("x"), x0 = in("x0"), x_skip = in("x_skip"), ve = in("ve"),
                 qkvo = in("qkvo"), c_fc = in("c_fc"), c_proj = in("c_proj"),
                 skip_gate = in("skip_gate"), lambdas = in("lambdas");
  reference::RotaryFactors<Scalar> factors;
  reference::BlockSettings settings;
  reference::BlockStreams<Scalar> streams = {x, x0, x_skip, ve};
  reference::BlockWeights<Scalar> weights = {.c_fc = c_fc,
                                             .c_proj = c_proj,
                                             .rho = lambdas[0],
                                             .lam = lambdas[1],
                                             .layer = {.qkvo = qkvo,
                                                       .gate = in("attn_gate"),
                                                       .value_gate = in("ve_gate"),
                                                       .alpha = lambdas[2],
                                                       .omega = lambdas[3]},
                                             .skip_gate = skip_gate,
                                             .theta = lambdas[4]};
};

Arrays block_inputs(const Parameters& p, std::uint64_t seed) {
  return clear_inputs(
      seed, [&](Random random) { return draw_block(p, random); },
      [&](const Arrays& arrays) {
        const BlockCase<double> c(p, arrays);
        reference::BlockTape<double> tape;
        block(c.streams, c.weights, c.factors, c.settings, Rounding::exact(), tape);
        const Tensor<double> hidden = reference::linear(tape.mlp_input, c.c_fc);
        const bool all_off = *std::max_element(hidden.values().begin(), hidden.values().end()) <= 0;
        return all_off || has_marginal_unit(tape.mlp_input, c.c_fc);
      });
}

template <class Scalar>
TensorsOf<Scalar> evaluate_block(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const BlockCase<Scalar> c(p, arrays);
  reference::BlockTape<Scalar> tape;
  TensorsOf<Scalar> values;
  values["outputs/out"] = block(c.streams, c.weights, c.factors, c.settings, rounding, tape);
  auto grad =
      block_backward(c.streams, c.weights, c.factors, c.settings, tape, c.in("grad_out"), rounding);
  values["grads/x"] = std::move(grad.x);
  values["grads/x0"] = std::move(grad.x0);
  values["grads/x_skip"] = std::move(grad.x_skip);
  values["grads/ve"] = std::move(grad.layer.value_embedding);
  values["grads/qkvo"] = std::move(grad.layer.qkvo);
  values["grads/c_fc"] = std::move(grad.c_fc);
  values["grads/c_proj"] = std::move(grad.c_proj);
  values["grads/attn_gate"] = std::move(grad.layer.gate);
  values["grads/ve_gate"] = std::move(grad.layer.value_gate);
  values["grads/skip_gate"] = std::move(grad.skip_gate);
  Tensor<Scalar>& lambdas = values["grads/lambdas"] = Tensor<Scalar>({5});
  lambdas[0] = grad.rho;
  lambdas[1] = grad.lam;
  lambdas[2] = grad.layer.alpha;
  lambdas[3] = grad.layer.omega;
  lambdas[4] = grad.theta;
  return values;
}

Component block_row() {
  Component component;
  component.name = "block";
  component.spec_section = "SPEC §3.3";
  component.fused_into = "model";
  component.outputs = {{.name = "out", .is_gradient = false, .dtype = DType::bf16}};
  const Parameters any = Parameters::parse(
      "T=1 documents=1 H=2 D=8 F=8 layer=s pairing=strided short_window=1 yarn=0");
  for (const auto& [name, tensor] : block_tensors(any)) {
    component.outputs.push_back({.name = name, .is_gradient = true, .dtype = tensor.dtype});
  }
  component.draw = [](Random& random, double size) {
    const char* layers[] = {"P", "P", "s", "L"};
    return draw_sizes(random, size).set("layer", layers[random.integer(0, 3)]);
  };
  for (const char* edge :
       {"T=1 documents=1 layer=P pairing=strided", "T=7 documents=3,0,4 layer=P pairing=strided",
        "T=7 documents=3,0,4 layer=s pairing=strided",
        "T=7 documents=3,0,4 layer=L pairing=strided"}) {
    component.edges.push_back(
        Parameters::parse(std::string(edge) + " H=2 D=8 F=8 short_window=3 yarn=1"));
  }
  component.shrink = shrink_sizes;
  component.check = [](const Parameters& p) {
    check_sizes(p);
    const std::string layer = p.word("layer");
    if (layer != "P" && layer != "s" && layer != "L") {
      throw InputError("layer: expected P, s or L, got \"" + layer + "\"");
    }
    block_config(p);
  };
  component.inputs = block_inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& row) {
    return block_tensors(p).at(row.is_gradient ? row.name : "x").shape;
  };
  component.reference = evaluate_block<double>;
  component.magnitude = magnitude_of(evaluate_block<Magnitude>);
  return component;
}

}  // namespace

std::vector<Component> block_rows() { return {block_row()}; }

}  // namespace pairedhead
