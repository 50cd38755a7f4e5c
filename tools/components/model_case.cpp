#include "tools/components/model_case.h"

#include <algorithm>

#include "reference/linear.h"
#include "tools/components/documents.h"
#include "tools/components/fill.h"

namespace pairedhead {

Array scaled_normal(DType dtype, const Shape& shape, double scale, Random random) {
  Array array = filled("normal", dtype, shape, random);
  for (Index i = 0; i < array.size(); ++i) array.set(i, scale * array.at(i));
  return array;
}

Array lambdas(const Shape& shape, Random random) {
  Array array(DType::fp32, shape);
  for (Index i = 0; i < array.size(); ++i) {
    const double sign = random.integer(0, 1) == 0 ? 1 : -1;
    array.set(i, sign * (0.25 + 1.25 * random.uniform01()));
  }
  return array;
}

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

void check_sizes(const Parameters& p) {
  check_tokens(p);
  check_documents(p);
  check_between(p, "short_window", 1, 1 << 20);
  check_flag(p, "yarn");
}

std::function<Values(const Parameters&, const Arrays&)> magnitude_of(EvaluateMagnitude evaluate) {
  return [evaluate](const Parameters& p, const Arrays& arrays) {
    return magnitudes(evaluate(p, arrays, Rounding::exact()));
  };
}

bool has_marginal_unit(const Tensor<double>& mlp_input, const Tensor<double>& c_fc) {
  constexpr double margin = 0.05, closest = 0.01;
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

std::vector<Index> units_near_their_kink(const Tensor<double>& mlp_input,
                                         const Tensor<double>& c_fc) {
  constexpr double margin = 0.05;
  constexpr int enough = 3;
  const Tensor<double> p = reference::linear(mlp_input, c_fc);
  std::vector<Index> units;
  for (Index unit = 0; unit < p.dim(1); ++unit) {
    int on = 0;
    bool near = false;
    for (Index t = 0; t < p.dim(0); ++t) {
      if (p(t, unit) > margin) ++on;
      near = near || std::abs(p(t, unit) + margin / 2) <= margin / 2;
    }
    if (on < enough && near) units.push_back(unit);
  }
  return units;
}

}  // namespace pairedhead
