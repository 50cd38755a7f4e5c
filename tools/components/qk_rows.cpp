#include "reference/qk_norm.h"
#include "reference/qk_prepare.h"
#include "reference/rotary.h"
#include "reference/scalar.h"
#include "tools/components/fill.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

constexpr Index largest_tensor = 200 * 6 * 128;

Shape heads_shape(const Parameters& p) { return {p.integer("T"), p.integer("H"), p.integer("D")}; }

std::string draw_fill(Random& random) {
  return random.integer(0, 1) == 0 ? "normal"
                                   : fill_words()[static_cast<std::size_t>(random.integer(0, 4))];
}

void check_shape(const Parameters& p) {
  check_tokens(p);
  check_heads(p, false);
  check_head_dim(p);
}

// The angles that consumers of a table are tested with: those of the record, exactly as stored.
void add_table(const Parameters& p, bool paired, Arrays& arrays) {
  const auto table = reference::rotary_table(reference::rotary_start(p.integer("D")).frequency,
                                             p.integer("T"), paired);
  arrays["cosine"] = to_array(table.cosine, DType::bf16);
  arrays["sine"] = to_array(table.sine, DType::bf16);
}

template <class Scalar>
using TensorsOf = std::map<std::string, Tensor<Scalar>>;

template <class Scalar>
Tensor<Scalar> input(const Arrays& arrays, const std::string& name) {
  return cast<Scalar>(to_tensor(arrays.at(name)));
}

template <class Evaluate>
Values magnitudes(const Evaluate& evaluate) {
  Values values;
  for (const auto& [key, tensor] : evaluate()) {
    Tensor<double> magnitude(tensor.shape());
    for (Index i = 0; i < tensor.size(); ++i) magnitude[i] = tensor[i].magnitude;
    values[key] = std::move(magnitude);
  }
  return values;
}

Component elementwise(const std::string& name, const std::string& section) {
  Component component;
  component.name = name;
  component.spec_section = section;
  component.outputs = {{.name = "y", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "x", .is_gradient = true, .dtype = DType::bf16}};
  component.draw = [](Random& random, double size) {
    return draw_token_shape(random, size, false, largest_tensor).set("fill", draw_fill(random));
  };
  component.shrink = [](const Parameters& p) { return shrink_token_shape(p, false); };
  component.check = check_shape;
  component.output_shape = [](const Parameters& p, const OutputRow&) { return heads_shape(p); };
  component.fused_into = "qk_prepare";
  return component;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_norm(const Arrays& arrays) {
  const auto x = input<Scalar>(arrays, "x");
  return {{"outputs/y", reference::qk_norm(x)},
          {"grads/x", reference::qk_norm_backward(x, input<Scalar>(arrays, "grad_y"))}};
}

Component qk_norm() {
  Component component = elementwise("qk_norm", "SPEC §3.6");
  component.edges = {Parameters::parse("T=1 H=1 D=16 fill=normal"),
                     Parameters::parse("T=5 H=6 D=128 fill=tiny"),
                     Parameters::parse("T=7 H=6 D=72 fill=sharp")};
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    return Arrays{{"x", filled(p.word("fill"), DType::bf16, heads_shape(p), random.split(1))},
                  {"grad_y", filled("normal", DType::bf16, heads_shape(p), random.split(2))}};
  };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    return evaluate_norm<double>(arrays);
  };
  component.magnitude = [](const Parameters&, const Arrays& arrays) {
    return magnitudes([&] { return evaluate_norm<Magnitude>(arrays); });
  };
  return component;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_rotary(const Arrays& arrays, bool paired) {
  const auto cosine = input<Scalar>(arrays, "cosine"), sine = input<Scalar>(arrays, "sine");
  return {{"outputs/y", reference::rotary_apply(input<Scalar>(arrays, "x"), cosine, sine, paired)},
          {"grads/x", reference::rotary_apply_backward(input<Scalar>(arrays, "grad_y"), cosine,
                                                       sine, paired)}};
}

Component rotary(bool paired) {
  Component component = elementwise(paired ? "rotary_paired" : "rotary_plain", "SPEC §3.4");
  component.edges = {Parameters::parse("T=1 H=6 D=16 fill=normal"),
                     Parameters::parse("T=2 H=6 D=128 fill=normal"),
                     Parameters::parse("T=65 H=4 D=32 fill=integers")};
  if (paired) {
    component.draw = [](Random& random, double size) {
      return draw_token_shape(random, size, true, largest_tensor).set("fill", draw_fill(random));
    };
    component.shrink = [](const Parameters& p) { return shrink_token_shape(p, true); };
    component.check = [](const Parameters& p) {
      check_shape(p);
      check_heads(p, true);
    };
  }
  component.inputs = [paired](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    Arrays arrays;
    arrays["x"] = filled(p.word("fill"), DType::bf16, heads_shape(p), random.split(1));
    arrays["grad_y"] = filled("normal", DType::bf16, heads_shape(p), random.split(2));
    add_table(p, paired, arrays);
    return arrays;
  };
  component.reference = [paired](const Parameters&, const Arrays& arrays, Rounding) {
    return evaluate_rotary<double>(arrays, paired);
  };
  component.magnitude = [paired](const Parameters&, const Arrays& arrays) {
    return magnitudes([&] { return evaluate_rotary<Magnitude>(arrays, paired); });
  };
  // Position 0 is not rotated: one token of plain heads is copied.
  component.trivial = [paired](const Parameters& p, const OutputRow&) {
    return !paired && p.integer("T") == 1;
  };
  return component;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_prepare(const Parameters& p, const Arrays& arrays) {
  const reference::QkPrepareSettings settings = {.normalise = p.integer("normalise") != 0,
                                                 .paired = p.integer("paired") != 0,
                                                 .shift_keys = p.integer("shift") != 0};
  const auto cosine = input<Scalar>(arrays, "cosine"), sine = input<Scalar>(arrays, "sine");
  const reference::QueryKey<Scalar> raw = {input<Scalar>(arrays, "q"), input<Scalar>(arrays, "k")};
  const reference::QueryKey<Scalar> grad = {input<Scalar>(arrays, "grad_q_prepared"),
                                            input<Scalar>(arrays, "grad_k_prepared")};
  auto forward = reference::qk_prepare(raw, cosine, sine, settings);
  auto backward = reference::qk_prepare_backward(raw, grad, cosine, sine, settings);
  return {{"outputs/q_prepared", std::move(forward.query)},
          {"outputs/k_prepared", std::move(forward.key)},
          {"grads/q", std::move(backward.query)},
          {"grads/k", std::move(backward.key)}};
}

bool flag(const Parameters& p, const char* name) {
  const Index value = p.integer(name);
  if (value != 0 && value != 1) {
    throw InputError(std::string(name) + ": expected 0 or 1, got " + p.word(name));
  }
  return value == 1;
}

Component qk_prepare() {
  Component component;
  component.name = "qk_prepare";
  component.spec_section = "SPEC §3.6";
  component.outputs = {{.name = "q_prepared", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "k_prepared", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "q", .is_gradient = true, .dtype = DType::bf16},
                       {.name = "k", .is_gradient = true, .dtype = DType::bf16}};
  component.draw = [](Random& random, double size) {
    const Index paired = random.integer(0, 1);
    return draw_token_shape(random, size, paired == 1, largest_tensor)
        .set("paired", paired)
        .set("normalise", random.integer(0, 3) == 0 ? 0 : 1)
        .set("shift", random.integer(0, 1))
        .set("fill", draw_fill(random));
  };
  // All eight settings of the switches: each piece alone, each pair, all together.
  for (const char* shape : {"T=1 H=6 D=128", "T=2 H=2 D=16", "T=35 H=6 D=72"}) {
    for (int bits = 0; bits < 8; ++bits) {
      component.edges.push_back(Parameters::parse(std::string(shape) + " fill=normal")
                                    .set("normalise", Index{bits & 1})
                                    .set("paired", Index{bits >> 1 & 1})
                                    .set("shift", Index{bits >> 2 & 1}));
    }
  }
  component.shrink = [](const Parameters& p) {
    auto smaller = shrink_token_shape(p, p.integer("paired") == 1);
    for (const char* name : {"normalise", "shift"}) {
      if (p.integer(name) == 1) smaller.push_back(Parameters(p).set(name, 0));
    }
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_shape(p);
    flag(p, "normalise");
    flag(p, "shift");
    if (flag(p, "paired")) check_heads(p, true);
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    Arrays arrays;
    std::uint64_t stream = 0;
    for (const char* name : {"q", "k"}) {
      arrays[name] = filled(p.word("fill"), DType::bf16, heads_shape(p), random.split(++stream));
    }
    for (const char* name : {"grad_q_prepared", "grad_k_prepared"}) {
      arrays[name] = filled("normal", DType::bf16, heads_shape(p), random.split(++stream));
    }
    add_table(p, p.integer("paired") == 1, arrays);
    return arrays;
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) { return heads_shape(p); };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    return evaluate_prepare<double>(p, arrays);
  };
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    return magnitudes([&] { return evaluate_prepare<Magnitude>(p, arrays); });
  };
  // Without the norm, one token of plain heads passes through unchanged.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("normalise") == 0 && p.integer("T") == 1 && p.integer("paired") == 0;
  };
  component.work = [](const Parameters& p, bool backward) {
    const double tensor = 2 * static_cast<double>(p.integer("T") * p.integer("H") * p.integer("D"));
    const double table =
        2 * 2 * static_cast<double>(p.integer("T") * p.integer("D") * (p.integer("paired") + 1));
    // Forward reads q, k and writes both; backward also reads the two incoming gradients.
    return Work{(backward ? 6 : 4) * tensor + table, 0};
  };
  return component;
}

}  // namespace

std::vector<Component> qk_rows() { return {rotary(false), rotary(true), qk_norm(), qk_prepare()}; }

}  // namespace pairedhead
