#include "tools/components/rows.h"

#include <algorithm>
#include <array>

#include "tools/components/fill.h"

namespace pairedhead {

void check_tokens(const Parameters& parameters) {
  if (parameters.integer("T") < 1) {
    throw InputError("T: expected at least 1 token, got " + parameters.word("T"));
  }
}

void check_heads(const Parameters& parameters, bool even) {
  const Index heads = parameters.integer("H");
  if (heads < 1 || (even && heads % 2 != 0)) {
    throw InputError(
        std::string("H: expected ") +
        (even ? "an even number of heads, since heads are paired" : "at least 1 head") + ", got " +
        parameters.word("H"));
  }
}

void check_head_dim(const Parameters& parameters) {
  const Index head_dim = parameters.integer("D");
  if (head_dim < 8 || head_dim > 128 || head_dim % 8 != 0) {
    throw InputError("D: expected a multiple of 8 from 8 to 128, got " + parameters.word("D"));
  }
}

Parameters draw_token_shape(Random& random, double size, bool even_heads, Index limit) {
  constexpr std::array<Index, 8> head_dims = {16, 128, 64, 32, 16, 128, 24, 72};
  const Index head_dim = head_dims[static_cast<std::size_t>(random.integer(0, 7))];
  const Index heads = even_heads ? 2 * random.integer(1, 3) : random.integer(1, 6);
  const auto most = static_cast<Index>(size * static_cast<double>(limit)) / (heads * head_dim);
  return Parameters()
      .set("T", random.integer(1, std::clamp<Index>(most, 2, 400)))
      .set("H", heads)
      .set("D", head_dim);
}

std::vector<Parameters> shrink_heads(const Parameters& parameters, bool even_heads) {
  std::vector<Parameters> smaller;
  const auto with = [&](const char* name, Index value) {
    smaller.push_back(Parameters(parameters).set(name, value));
  };
  const Index step = even_heads ? 2 : 1;
  const Index heads = parameters.integer("H");
  const Index head_dim = parameters.integer("D");
  if (heads > step) with("H", step);
  if (heads - step > step) with("H", heads - step);
  if (head_dim > 16) with("D", 16);
  if (head_dim > 32) with("D", head_dim / 2 / 8 * 8);
  if (parameters.has("fill")) {
    const std::string fill = simpler_fill(parameters.word("fill"));
    if (!fill.empty()) smaller.push_back(Parameters(parameters).set("fill", fill));
  }
  return smaller;
}

std::vector<Parameters> shrink_token_shape(const Parameters& parameters, bool even_heads) {
  std::vector<Parameters> smaller;
  const Index tokens = parameters.integer("T");
  for (Index kept : {Index{1}, Index{2}, tokens / 4, tokens / 2, tokens - 1}) {
    if (kept >= 1 && kept < tokens) smaller.push_back(Parameters(parameters).set("T", kept));
  }
  if (parameters.has("H")) {
    const auto heads = shrink_heads(parameters, even_heads);
    smaller.insert(smaller.end(), heads.begin(), heads.end());
  }
  return smaller;
}

std::vector<Parameters> smaller_values(const Parameters& p, const char* name, Index least) {
  std::vector<Parameters> smaller;
  const Index value = p.integer(name);
  for (Index candidate : {least, value / 4, value / 2, value - 1}) {
    if (candidate >= least && candidate < value) {
      smaller.push_back(Parameters(p).set(name, candidate));
    }
  }
  return smaller;
}

void check_at_least(const Parameters& p, const char* name, Index least) {
  if (p.integer(name) < least) {
    throw InputError(std::string(name) + ": expected at least " + std::to_string(least) + ", got " +
                     p.word(name));
  }
}

Component host_row(const std::string& name, const std::string& section,
                   const std::vector<std::string>& outputs, DType dtype) {
  Component component;
  component.name = name;
  component.spec_section = section;
  component.judgement = Judgement::bitwise;
  for (const std::string& output : outputs) {
    component.outputs.push_back(
        {.name = output, .is_gradient = false, .dtype = dtype, .may_be_trivial = true});
  }
  return component;
}

Values magnitudes(const std::map<std::string, Tensor<Magnitude>>& evaluated) {
  Values values;
  for (const auto& [key, tensor] : evaluated) {
    Tensor<double> magnitude(tensor.shape());
    for (Index i = 0; i < tensor.size(); ++i) magnitude[i] = tensor[i].magnitude;
    values[key] = std::move(magnitude);
  }
  return values;
}

Pairing pairing_of(const Parameters& parameters) {
  if (!parameters.has("pairing")) return Pairing::none;
  const std::string word = parameters.word("pairing");
  if (word == "strided") return Pairing::strided;
  if (word == "adjacent") return Pairing::adjacent;
  throw InputError("pairing: expected strided or adjacent, got \"" + word + "\"");
}

}  // namespace pairedhead
