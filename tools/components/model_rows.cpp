#include <algorithm>

#include "reference/linear.h"
#include "reference/model.h"
#include "tools/components/documents.h"
#include "tools/components/fill.h"
#include "tools/components/model_layout.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::Config;
using reference::ParameterInfo;
using reference::ParameterSet;

// Normal values times a power of two, which keeps them bf16.
Array scaled_normal(DType dtype, const Shape& shape, double scale, Random random) {
  Array array = filled("normal", dtype, shape, random);
  for (Index i = 0; i < array.size(); ++i) array.set(i, scale * array.at(i));
  return array;
}

// Either sign, 0.25 to 1.5: no lambda switches a path off.
Array lambdas(const Shape& shape, Random random) {
  Array array(DType::fp32, shape);
  for (Index i = 0; i < array.size(); ++i) {
    const double sign = random.integer(0, 1) == 0 ? 1 : -1;
    array.set(i, sign * (0.25 + 1.25 * random.uniform01()));
  }
  return array;
}

Array parameter_values(const ParameterInfo& info, Index width, Random random) {
  if (info.dtype == DType::fp32) return lambdas(info.shape, random);
  const bool matrix = info.optimizer == reference::Optimizer::normuon;
  return scaled_normal(info.dtype, info.shape, !matrix ? 0.5 : width < 32 ? 0.25 : 0.125, random);
}

Array token_values(Index count, Index vocabulary, Random random) {
  Array array(DType::int32, {count});
  for (Index i = 0; i < count; ++i) {
    array.set(i, static_cast<double>(random.integer(0, vocabulary - 1)));
  }
  return array;
}

Array integer_values(std::initializer_list<Index> values) { return from_indices(values); }

// Frequencies and kappa at the start, or after one change of the windows.
void add_rotary(const Parameters& p, Arrays& arrays) {
  reference::RotaryState state = reference::rotary_start(p.integer("D"));
  if (p.integer("yarn") == 1) state = reference::yarn_update(state, 3, 7, 4);
  Array frequency(DType::fp32, {p.integer("D")}), scale(DType::fp64, {1});
  for (Index d = 0; d < frequency.size(); ++d) {
    frequency.set(d, static_cast<double>(state.frequency[static_cast<std::size_t>(d)]));
  }
  scale.set(0, state.softmax_scale);
  arrays["frequency"] = std::move(frequency);
  arrays["softmax_scale"] = std::move(scale);
}

reference::RotaryState rotary_of(const Arrays& arrays) {
  reference::RotaryState state;
  const Array& frequency = arrays.at("frequency");
  state.frequency.assign(frequency.as<float>(), frequency.as<float>() + frequency.size());
  state.softmax_scale = arrays.at("softmax_scale").at(0);
  return state;
}

// 1, then up to two smaller weights.
Array mtp_weights(Index horizons, Random random) {
  Array weights(DType::fp32, {horizons});
  weights.set(0, 1);
  for (Index k = 1; k < horizons; ++k) weights.set(k, 0.1 + 0.5 * random.uniform01());
  return weights;
}

reference::LossSettings loss_of(const Parameters& p, const Arrays& arrays) {
  const Tensor<double> weights = to_tensor(arrays.at("mtp_weights"));
  return {.mtp_weights = {weights.values().begin(), weights.values().end()},
          .validation = p.integer("validation") == 1};
}

void check_flag(const Parameters& p, const char* name) {
  if (p.integer(name) == 0 || p.integer(name) == 1) return;
  throw InputError(std::string(name) + ": expected 0 or 1, got " + p.word(name));
}

void check_between(const Parameters& p, const char* name, Index least, Index most) {
  const Index value = p.integer(name);
  if (value >= least && value <= most) return;
  throw InputError(std::string(name) + ": expected " + std::to_string(least) + " to " +
                   std::to_string(most) + ", got " + p.word(name));
}

Parameters draw_sizes(Random& random, double size) {
  const bool wide =
      size > 0.7 && random.integer(0, 15) == 0;  // the pairing needs six heads to show
  const Index tokens = random.integer(2, 3 + static_cast<Index>(6 * size));
  const Index window = random.integer(1, 7);
  return Parameters()
      .set("T", tokens)
      .set("documents", draw_documents(tokens, random))
      .set("H", wide ? 6 : 2)
      .set("D", wide || random.integer(0, 7) > 0 ? 8 : 16)
      .set("F", 8 * random.integer(1, 2))
      .set("short_window", window)
      .set("pairing", random.integer(0, 3) == 0 ? "adjacent" : "strided")
      .set("yarn", random.integer(0, 1));
}

std::vector<Parameters> shrink_sizes(const Parameters& p) {
  std::vector<Parameters> smaller = shrink_documents(p);
  const auto with = [&](const char* name, Index value) {
    if (p.integer(name) > value) smaller.push_back(Parameters(p).set(name, value));
  };
  with("H", 2);
  with("D", 8);
  with("F", 8);
  with("yarn", 0);
  return smaller;
}

void check_common(const Parameters& p) {
  check_tokens(p);
  check_documents(p);
  check_between(p, "short_window", 1, 1 << 20);
  check_flag(p, "yarn");
}

// The same evaluation on absolute values.
using EvaluateMagnitude = TensorsOf<Magnitude> (*)(const Parameters&, const Arrays&, Rounding);
std::function<Values(const Parameters&, const Arrays&)> magnitude_of(EvaluateMagnitude evaluate) {
  return [evaluate](const Parameters& p, const Arrays& arrays) {
    return magnitudes(evaluate(p, arrays, Rounding::exact()));
  };
}

// A hidden unit that is off at every token, but only just, is switched on by rounding or is not,
// and its gradients with it: no scale of error tells which is right. Nor where a unit is as near to
// its kink as `closest` at one token, and little comes from the others.
bool has_marginal_unit(const Tensor<double>& mlp_input, const Tensor<double>& c_fc,
                       double closest) {
  constexpr double margin = 0.05;
  const Tensor<double> p = reference::linear(mlp_input, c_fc);
  for (Index unit = 0; unit < p.dim(1); ++unit) {
    double most = -1;
    for (Index t = 0; t < p.dim(0); ++t) {
      most = std::max(most, p(t, unit));
      if (std::abs(p(t, unit)) < closest) return true;
    }
    if (std::abs(most) < margin) return true;
  }
  return false;
}

// The first of a few seeds' inputs without such a unit; the last if none is.
template <class Draw, class IsMarginal>
Arrays clear_inputs(std::uint64_t seed, const Draw& draw, const IsMarginal& is_marginal) {
  constexpr std::uint64_t tries = 16;
  Arrays arrays;
  for (std::uint64_t i = 0; i < tries; ++i) {
    arrays = draw(Random(seed).split(i));
    if (!is_marginal(arrays)) break;
  }
  return arrays;
}

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
  arrays["window"] = integer_values({p.integer("short_window")});
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
        return has_marginal_unit(tape.mlp_input, c.c_fc, 0.01);
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
    check_common(p);
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

Arrays draw_model_inputs(const Parameters& p, Random random) {
  const Config config = model_config(p);
  Arrays arrays;
  std::uint64_t stream = 0;
  for (const ParameterInfo& info : stacked_table(config)) {
    arrays[info.name] = parameter_values(info, config.width, random.split(++stream));
  }
  const Index tokens = p.integer("T");
  arrays["tokens"] = token_values(tokens, config.vocabulary, random.split(++stream));
  arrays["targets"] = token_values(tokens, config.vocabulary, random.split(++stream));
  arrays["mtp_weights"] = mtp_weights(p.integer("horizons"), random.split(++stream));
  arrays["grad_loss"] = Array(DType::fp32, {1});
  arrays["grad_loss"].set(0, 0.125);
  arrays["cu_seqlens"] = from_indices(cu_seqlens_of(p.integers("documents")));
  arrays["windows"] = integer_values({p.integer("short_window"), p.integer("long_window")});
  add_rotary(p, arrays);
  return arrays;
}

// A case as the reference takes it.
template <class Scalar>
struct ModelCase {
  ModelCase(const Parameters& p, const Arrays& arrays) : in(arrays), config(model_config(p)) {
    ParameterSet<Scalar> stacks;
    for (const ParameterInfo& info : stacked_table(config)) {
      stacks.emplace(info.name, in(info.name));
    }
    parameters = unstacked(config, stacks);
    batch = {.inputs = in.indices("tokens"),
             .targets = in.indices("targets"),
             .cu_seqlens = in.indices("cu_seqlens")};
    const std::vector<Index> windows = in.indices("windows");
    settings = {.short_window = windows.at(0),
                .long_window = windows.at(1),
                .rotary = rotary_of(arrays),
                .split_embedding = p.integer("split") == 1,
                .loss = loss_of(p, arrays)};
  }

  CaseInputs<Scalar> in;
  Config config;
  ParameterSet<Scalar> parameters;
  reference::Batch batch;
  reference::ModelSettings settings;
};

Arrays model_inputs(const Parameters& p, std::uint64_t seed) {
  return clear_inputs(
      seed, [&](Random random) { return draw_model_inputs(p, random); },
      [&](const Arrays& arrays) {
        const ModelCase<double> c(p, arrays);
        const auto forward =
            model_forward(c.config, c.parameters, c.batch, c.settings, Rounding::exact());
        for (Index i = 0; i < c.config.depth(); ++i) {
          if (has_marginal_unit(forward.tape.blocks[static_cast<std::size_t>(i)].mlp_input,
                                c.parameters.at(reference::c_fc_name(i)), 0)) {
            return true;
          }
        }
        return false;
      });
}

template <class Scalar>
TensorsOf<Scalar> evaluate_model(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const ModelCase<Scalar> c(p, arrays);
  auto forward = model_forward(c.config, c.parameters, c.batch, c.settings, rounding);
  const auto gradients = model_backward(c.config, c.parameters, c.batch, c.settings, forward,
                                        c.in.scalar("grad_loss"), rounding);
  TensorsOf<Scalar> values;
  for (auto& [name, tensor] : stacked(c.config, gradients)) {
    values["grads/" + name] = std::move(tensor);
  }
  values["outputs/loss"] = one_value(forward.loss);
  values["outputs/logits"] = std::move(forward.logits);
  return values;
}

std::vector<Parameters> model_edges() {
  const std::string record =
      " layers=" + layer_words(reference::config_named("record")) + " skip=3,6 backout=7";
  const std::string small = "H=2 D=8 F=8 V=9 pairing=strided yarn=1 short_window=2 long_window=5";
  const std::string wide = "H=6 D=8 F=8 V=11 yarn=1 short_window=3 long_window=6";
  return {
      Parameters::parse("T=1 documents=1 layers=s0,P skip=0,1 backout=1 split=0 horizons=1 "
                        "validation=0 " +
                        small),
      Parameters::parse("T=6 documents=2,0,4 layers=P1,L2,n skip=0,2 backout=1 split=0 horizons=3 "
                        "validation=0 " +
                        small),
      Parameters::parse("T=5 documents=3,2 layers=L2,P skip=0,1 backout=1 split=1 horizons=1 "
                        "validation=1 " +
                        small),
      Parameters::parse("T=9 documents=4,5 pairing=strided split=0 horizons=3 validation=0 " +
                        wide + record),
      Parameters::parse("T=9 documents=2,7 pairing=adjacent split=1 horizons=2 validation=0 " +
                        wide + record)};
}

Parameters draw_model(Random& random, double size) {
  const Index depth = random.integer(2, 3);
  std::string layers;
  for (Index i = 0; i < depth; ++i) {
    const char kind = "PPsLn"[random.integer(0, i == 0 ? 3 : 4)];
    if (i > 0) layers += ',';
    layers += kind;
    if (kind != 'n' && (i == 0 || random.integer(0, 1) == 0)) {
      layers += static_cast<char>('0' + random.integer(0, 2));
    }
  }
  const Index to = random.integer(1, depth - 1);
  Parameters p = draw_sizes(random, size);
  return p.set("layers", layers)
      .set("skip", std::vector<Index>{random.integer(0, to - 1), to})
      .set("backout", random.integer(0, depth - 1))
      .set("V", random.integer(5, 16))
      .set("long_window", p.integer("short_window") + random.integer(0, 6))
      .set("split", random.integer(0, 1))
      .set("horizons", random.integer(1, 3))
      .set("validation", random.integer(0, 5) == 0 ? 1 : 0);
}

Component model_row() {
  Component component;
  component.name = "model";
  component.spec_section = "SPEC §3";
  component.outputs = {{.name = "loss", .is_gradient = false, .dtype = DType::fp32},
                       {.name = "logits", .is_gradient = false, .dtype = DType::bf16}};
  component.edges = model_edges();
  for (const ParameterInfo& info : stacked_table(model_config(component.edges[0]))) {
    component.outputs.push_back({.name = info.name, .is_gradient = true, .dtype = info.dtype});
  }
  component.draw = draw_model;
  component.shrink = [](const Parameters& p) {
    std::vector<Parameters> smaller = shrink_sizes(p);
    const std::pair<const char*, Index> least[] = {
        {"V", 5}, {"horizons", 1}, {"validation", 0}, {"split", 0}};
    for (const auto& [name, value] : least) {
      if (p.integer(name) > value) smaller.push_back(Parameters(p).set(name, value));
    }
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_common(p);
    check_between(p, "long_window", 1, 1 << 20);
    check_between(p, "horizons", 1, 3);
    check_flag(p, "split");
    check_flag(p, "validation");
    model_config(p);
  };
  component.inputs = model_inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& row) {
    const Config config = model_config(p);
    if (!row.is_gradient) {
      return row.name == "loss" ? Shape{1} : Shape{p.integer("T"), config.vocabulary};
    }
    for (const ParameterInfo& info : stacked_table(config)) {
      if (info.name == row.name) return info.shape;
    }
    throw InputError("model: no parameter " + row.name);
  };
  // The tied embedding has one gradient for both uses. One token is not smeared.
  component.trivial = [](const Parameters& p, const OutputRow& row) {
    if (row.name == "embed") return p.integer("split") == 0;
    return row.name == "smear_gate" && p.integer("T") == 1;
  };
  component.reference = evaluate_model<double>;
  component.magnitude = magnitude_of(evaluate_model<Magnitude>);
  return component;
}

}  // namespace

std::vector<Component> model_rows() { return {block_row(), model_row()}; }

}  // namespace pairedhead
