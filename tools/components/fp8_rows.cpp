#include "reference/fp8.h"
#include "tools/components/fill.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

// fill: normal; ties, halves of the spacing at scale 1; special (fill.h).
Array draw_values(const Parameters& p, double size, Random random) {
  if (p.word("fill") == "special") {
    return filled("special", DType::bf16, {p.integer("n")}, random);
  }
  Array x(DType::bf16, {p.integer("n")});
  for (Index i = 0; i < x.size(); ++i) {
    const double exponent = static_cast<double>(random.integer(-18, 16));
    const double tie = static_cast<double>(2 * random.integer(-16, 15) + 1) * std::exp2(exponent);
    x.set(i, p.word("fill") == "ties" ? tie : size * random.normal());
  }
  return x;
}

Component quantise() {
  Component component;
  component.name = "quantise_fp8";
  component.spec_section = "SPEC §3.8";
  component.judgement = Judgement::bitwise;
  component.outputs = {
      {.name = "x_e4m3", .is_gradient = false, .dtype = DType::e4m3, .may_be_nan = true},
      {.name = "x_e5m2", .is_gradient = false, .dtype = DType::e5m2, .may_be_nan = true}};
  component.draw = [](Random& random, double size) {
    constexpr const char* fills[] = {"normal", "normal", "ties", "special"};
    constexpr const char* scales[] = {"activation", "weight", "gradient"};
    return Parameters()
        .set("n", random.integer(1, 8 + static_cast<Index>(size * 2000)))
        .set("scale", std::string(scales[random.integer(0, 2)]))
        .set("fill", std::string(fills[random.integer(0, 3)]));
  };
  component.edges = {Parameters::parse("n=1 fill=normal scale=activation"),
                     Parameters::parse("n=500 fill=normal scale=activation"),
                     Parameters::parse("n=500 fill=normal scale=weight"),
                     Parameters::parse("n=500 fill=normal scale=gradient"),
                     Parameters::parse("n=500 fill=ties scale=one"),
                     Parameters::parse("n=500 fill=special scale=one"),
                     Parameters::parse("n=4096 fill=ties scale=one"),
                     Parameters::parse("n=4096 fill=special scale=one")};
  component.shrink = [](const Parameters& p) { return smaller_values(p, "n", 1); };
  const auto scale_of = [](const Parameters& p) {
    const std::string word = p.word("scale");
    if (word == "activation") return reference::fp8_activation_scale;
    if (word == "weight") return reference::fp8_weight_scale;
    if (word == "gradient") return reference::fp8_gradient_scale;
    if (word == "one") return 1.0f;
    throw InputError("scale: expected activation, weight, gradient or one, got \"" + word + "\"");
  };
  component.check = [scale_of](const Parameters& p) {
    check_at_least(p, "n", 1);
    scale_of(p);
    const std::string fill = p.word("fill");
    if (fill != "normal" && fill != "ties" && fill != "special") {
      throw InputError("fill: expected normal, ties or special, got \"" + fill + "\"");
    }
  };
  component.inputs = [scale_of](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    // From the subnormals of both formats to beyond the largest of e4m3.
    const double size = scale_of(p) * std::exp2(static_cast<double>(random.integer(-12, 9)));
    Array scale(DType::fp32, {1});
    scale.set(0, static_cast<double>(scale_of(p)));
    return Arrays{{"x", draw_values(p, size, random.split(1))}, {"scale", scale}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) {
    return Shape{p.integer("n")};
  };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    const Tensor<double> x = to_tensor(arrays.at("x"));
    const auto scale = static_cast<float>(arrays.at("scale").at(0));
    return Values{{"outputs/x_e4m3", reference::quantise_fp8(x, scale, DType::e4m3)},
                  {"outputs/x_e5m2", reference::quantise_fp8(x, scale, DType::e5m2)}};
  };
  return component;
}

}  // namespace

std::vector<Component> fp8_rows() { return {quantise()}; }

}  // namespace pairedhead
