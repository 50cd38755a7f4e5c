#include <algorithm>
#include <cmath>

#include "reference/model.h"
#include "tools/components/documents.h"
#include "tools/components/fill.h"
#include "tools/components/model_case.h"
#include "tools/components/model_layout.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::Config;
using reference::ParameterInfo;
using reference::ParameterSet;

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

// The matrix units take fp8 operands in rows of so many: T, C and V are each the length of one. A
// GPU refuses another T, so none is drawn; the reference takes any.
constexpr Index fp8_multiple = 16;

void check_head(const Parameters& p) {
  const std::string head = p.word("head");
  if (head != "bf16" && head != "fp8") {
    throw InputError("head: expected bf16 or fp8, got \"" + head + "\"");
  }
  if (head == "fp8" && p.integer("V") % fp8_multiple != 0) {
    throw InputError("V: expected a multiple of " + std::to_string(fp8_multiple) +
                     " for the fp8 head, got " + p.word("V"));
  }
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
  arrays["windows"] = from_indices({p.integer("short_window"), p.integer("long_window")});
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
    settings = {
        .short_window = windows.at(0),
        .long_window = windows.at(1),
        .rotary = rotary_of(arrays),
        .split_embedding = p.integer("split") == 1,
        .head = p.word("head") == "fp8" ? reference::HeadForm::fp8 : reference::HeadForm::bf16,
        .loss = loss_of(p, arrays)};
  }

  CaseInputs<Scalar> in;
  Config config;
  ParameterSet<Scalar> parameters;
  reference::Batch batch;
  reference::ModelSettings settings;
};

// Turns the weights of every hidden unit that is near its kink by one channel, until none is.
void clear_kinks(const Parameters& p, Arrays& arrays) {
  constexpr int rounds = 64;
  for (int round = 0; round < rounds; ++round) {
    const ModelCase<double> c(p, arrays);
    const auto forward =
        model_forward(c.config, c.parameters, c.batch, c.settings, Rounding::exact());
    bool clear = true;
    for (Index i = 0; i < c.config.depth(); ++i) {
      const auto& mlp_input = forward.tape.blocks[static_cast<std::size_t>(i)].mlp_input;
      for (const Index unit :
           units_near_their_kink(mlp_input, c.parameters.at(reference::c_fc_name(i)))) {
        auto* row =
            arrays.at("c_fc").as<std::uint16_t>() + (i * c.config.hidden + unit) * c.config.width;
        std::rotate(row, row + 1, row + c.config.width);
        clear = false;
      }
    }
    if (clear) return;
  }
}

// In layer 0 both streams are one, and lambdas of opposite sign and nearly equal size would leave
// nothing of it but its roundings.
void keep_first_mix(const Parameters& p, Arrays& arrays) {
  constexpr double least = 0.25;
  Array& x0_lambdas = arrays.at("x0_lambdas");
  const Index residual = reference::ScalarLayout{model_config(p).depth()}.residual(0);
  if (std::abs(arrays.at("scalars").at(residual) + x0_lambdas.at(0)) < least) {
    x0_lambdas.set(0, -x0_lambdas.at(0));
  }
}

// No hidden unit is near its kink, where a rounding decides what its gradient is, and layer 0's mix
// does not cancel.
Arrays model_inputs(const Parameters& p, std::uint64_t seed) {
  Arrays arrays = draw_model_inputs(p, Random(seed));
  keep_first_mix(p, arrays);
  clear_kinks(p, arrays);
  return arrays;
}

// The target's own value of a stage, where it is given.
template <class Scalar>
void go_on_from(const char* key, const Arrays& arrays, Tensor<Scalar>& value) {
  const auto given = arrays.find(key);
  if (given != arrays.end()) value = cast<Scalar>(to_tensor(given->second));
}

template <class Scalar>
TensorsOf<Scalar> evaluate_model(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const ModelCase<Scalar> c(p, arrays);
  TensorsOf<Scalar> values;
  auto forward = model_trunk(c.config, c.parameters, c.batch, c.settings, rounding);
  values["outputs/head_input"] = forward.tape.head_input;
  go_on_from("outputs/head_input", arrays, forward.tape.head_input);
  model_logits(c.parameters, c.settings, rounding, forward);
  values["outputs/logits"] = forward.logits;
  go_on_from("outputs/logits", arrays, forward.logits);
  model_loss(c.batch, c.settings, forward);
  Tensor<Scalar> grad_logits =
      model_logits_backward(c.batch, c.settings, forward, c.in.scalar("grad_loss"));
  values["outputs/grad_logits"] = grad_logits;
  go_on_from("outputs/grad_logits", arrays, grad_logits);
  auto grad_head = model_head_backward(c.parameters, c.settings, forward, grad_logits, rounding);
  values["outputs/grad_head_input"] = grad_head.x;
  values["outputs/grad_head_weight"] = grad_head.w;
  go_on_from("outputs/grad_head_input", arrays, grad_head.x);
  go_on_from("outputs/grad_head_weight", arrays, grad_head.w);
  const auto gradients = model_trunk_backward(c.config, c.parameters, c.batch, c.settings, forward,
                                              grad_head, rounding);
  for (auto& [name, tensor] : stacked(c.config, gradients)) {
    values["grads/" + name] = std::move(tensor);
  }
  values["outputs/loss"] = one_value(forward.loss);
  return values;
}

std::vector<Parameters> model_edges() {
  const std::string record =
      " layers=" + layer_words(reference::config_named("record")) + " skip=3,6 backout=7";
  const std::string small = "H=2 D=8 F=8 pairing=strided yarn=1 short_window=2 long_window=5";
  const std::string wide = "H=6 D=8 F=8 yarn=1 short_window=3 long_window=6";
  return {Parameters::parse("T=1 documents=1 layers=s0,P skip=0,1 backout=1 split=0 horizons=1 "
                            "validation=0 head=bf16 V=9 " +
                            small),
          Parameters::parse(
              "T=16 documents=2,0,14 layers=P1,L2,n skip=0,2 backout=1 split=0 horizons=3 "
              "validation=0 head=fp8 V=16 " +
              small),
          Parameters::parse("T=5 documents=3,2 layers=L2,P skip=0,1 backout=1 split=1 horizons=1 "
                            "validation=1 head=bf16 V=9 " +
                            small),
          Parameters::parse("T=9 documents=4,5 pairing=strided split=0 horizons=3 validation=0 "
                            "head=bf16 V=11 " +
                            wide + record),
          Parameters::parse("T=16 documents=2,14 pairing=adjacent split=1 horizons=2 validation=0 "
                            "head=fp8 V=16 " +
                            wide + record)};
}

Parameters draw_model(Random& random, double size) {
  const Index depth = random.integer(2, 3);
  const std::string layers = draw_layers(random, depth);
  const Index to = random.integer(1, depth - 1);
  Parameters p = draw_sizes(random, size);
  const bool fp8 = random.integer(0, 2) == 0;
  if (fp8) {
    p.set("T", fp8_multiple).set("documents", draw_documents(fp8_multiple, random));
  }
  return p.set("layers", layers)
      .set("skip", std::vector<Index>{random.integer(0, to - 1), to})
      .set("backout", random.integer(0, depth - 1))
      .set("head", fp8 ? "fp8" : "bf16")
      .set("V", fp8 ? fp8_multiple * random.integer(1, 2) : random.integer(5, 16))
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
                       {.name = "head_input", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "logits", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "grad_logits", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "grad_head_input", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "grad_head_weight", .is_gradient = false, .dtype = DType::bf16}};
  // What an fp8 head quantises next to a border, its input and dz, falls to one side or the other
  // by a rounding, which no scale of error covers; and its products keep fewer bits of a sum than
  // those behind them. So whoever says what went in is judged by what comes out.
  component.stages = {"outputs/head_input", "outputs/logits", "outputs/grad_logits",
                      "outputs/grad_head_input", "outputs/grad_head_weight"};
  component.edges = model_edges();
  for (const ParameterInfo& info : stacked_table(model_config(component.edges[0]))) {
    component.outputs.push_back({.name = info.name, .is_gradient = true, .dtype = info.dtype});
  }
  component.draw = draw_model;
  component.shrink = [](const Parameters& p) {
    std::vector<Parameters> smaller = shrink_sizes(p);
    if (p.word("head") == "fp8") {
      std::erase_if(smaller,
                    [](const Parameters& one) { return one.integer("T") % fp8_multiple != 0; });
      smaller.push_back(Parameters(p).set("head", "bf16"));
    }
    const std::pair<const char*, Index> least[] = {
        {"V", p.word("head") == "fp8" ? fp8_multiple : 5},
        {"horizons", 1},
        {"validation", 0},
        {"split", 0}};
    for (const auto& [name, value] : least) {
      if (p.integer(name) > value) smaller.push_back(Parameters(p).set(name, value));
    }
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_sizes(p);
    check_between(p, "long_window", 1, 1 << 20);
    check_between(p, "horizons", 1, 3);
    check_flag(p, "split");
    check_flag(p, "validation");
    check_head(p);
    model_config(p);
  };
  component.inputs = model_inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& row) {
    const Config config = model_config(p);
    if (!row.is_gradient) {
      if (row.name == "loss") return Shape{1};
      const bool of_weight = row.name == "grad_head_weight";
      const bool is_wide = row.name == "logits" || row.name == "grad_logits";
      return Shape{of_weight ? config.vocabulary : p.integer("T"),
                   is_wide ? config.vocabulary : config.width};
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
  component.accumulator = [](const Parameters& p, const OutputRow& row) {
    const bool product =
        row.name == "logits" || row.name == "grad_head_input" || row.name == "grad_head_weight";
    const bool fp8 = p.word("head") == "fp8" && p.integer("validation") == 0;
    return product && fp8 ? fp8_accumulator : fp32_accumulator;
  };
  component.reference = evaluate_model<double>;
  component.magnitude = magnitude_of(evaluate_model<Magnitude>);
  return component;
}

}  // namespace

std::vector<Component> model_rows() { return {model_row()}; }

}  // namespace pairedhead
