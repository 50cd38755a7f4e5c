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
    check_sizes(p);
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

std::vector<Component> model_rows() { return {model_row()}; }

}  // namespace pairedhead
