#include <algorithm>
#include <cmath>

#include "reference/attention.h"
#include "reference/scalar.h"
#include "reference/visibility.h"
#include "tools/components/documents.h"
#include "tools/components/fill.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

using reference::AttentionSettings;

AttentionSettings settings_of(const Parameters& parameters, const Arrays& inputs) {
  return {.pairing = pairing_of(parameters),
          .window = static_cast<Index>(inputs.at("window").at(0)),
          .softmax_scale = inputs.at("softmax_scale").at(0),
          .cu_seqlens = to_indices(inputs.at("cu_seqlens"))};
}

// Products of one head_dim over the pairs that a row may see: what a case costs the reference.
constexpr double largest_cost = 2.5e6;

Parameters draw(Random& random, double size, bool paired) {
  Parameters p = draw_token_shape(random, 1.0, paired, 400 * 128);
  const double heads = static_cast<double>(p.integer("H"));
  const double rows =
      paired ? 2 * heads : heads / 2;  // visible pairs of T tokens: rows * T^2 at most
  const auto most = static_cast<Index>(
      std::sqrt(size * largest_cost / (rows * static_cast<double>(p.integer("D")))));
  const Index tokens = random.integer(1, std::clamp<Index>(most, 2, 400));
  const Index kind = random.integer(0, 3);
  const Index window = kind == 0   ? random.integer(1, 8)
                       : kind == 1 ? random.integer(1, 2 * tokens + 3)
                       : kind == 2 ? 2 * random.integer(0, tokens) + 1
                                   : 4 * tokens + random.integer(0, 1000);
  const char* const scales[] = {"0.1", "0.116945957", "0.127517524", "0.131777988"};
  p.set("T", tokens)
      .set("documents", draw_documents(tokens, random))
      .set("window", window)
      .set("softmax_scale", std::string(scales[random.integer(0, 3)]))
      .set("fill", random.integer(0, 1) == 0
                       ? "normal"
                       : fill_words()[static_cast<std::size_t>(random.integer(0, 4))]);
  if (paired) p.set("pairing", random.integer(0, 2) == 0 ? "adjacent" : "strided");
  return p;
}

std::vector<Parameters> shrink(const Parameters& parameters, bool paired) {
  std::vector<Parameters> smaller = shrink_documents(parameters);
  const Index window = parameters.integer("window");
  const Index reach = 2 * parameters.integer("T");
  for (Index w : {Index{1}, Index{2}, reach, window / 2, window - 1}) {
    if (w >= 1 && w < window) smaller.push_back(Parameters(parameters).set("window", w));
  }
  const auto heads = shrink_heads(parameters, paired);
  smaller.insert(smaller.end(), heads.begin(), heads.end());
  if (parameters.word("softmax_scale") != "0.1") {
    smaller.push_back(Parameters(parameters).set("softmax_scale", std::string("0.1")));
  }
  return smaller;
}

void check(const Parameters& parameters, bool paired) {
  check_documents(parameters);
  check_heads(parameters, paired);
  check_head_dim(parameters);
  if (parameters.integer("window") < 1) {
    throw InputError("window: expected at least 1, got " + parameters.word("window"));
  }
  if (!(parameters.real("softmax_scale") > 0)) {
    throw InputError("softmax_scale: expected a number above 0, got " +
                     parameters.word("softmax_scale"));
  }
  if (paired) {
    pairing_of(parameters);
  } else if (parameters.has("pairing")) {
    throw InputError("pairing: attention_plain has none, got \"" + parameters.word("pairing") +
                     "\"");
  }
}

Arrays inputs(const Parameters& parameters, std::uint64_t seed) {
  const Shape shape = {parameters.integer("T"), parameters.integer("H"), parameters.integer("D")};
  const std::string fill = parameters.word("fill");
  Random random(seed);
  Arrays arrays;
  arrays["q"] = filled(fill, DType::bf16, shape, random.split(1));
  arrays["k"] = filled(fill, DType::bf16, shape, random.split(2));
  arrays["v"] = filled(fill == "constant" ? "normal" : fill, DType::bf16, shape, random.split(3));
  arrays["grad_y"] =
      filled(fill == "constant" ? "normal" : fill, DType::bf16, shape, random.split(4));
  arrays["cu_seqlens"] = from_indices(cu_seqlens_of(parameters.integers("documents")));
  arrays["window"] = from_indices({parameters.integer("window")});
  arrays["softmax_scale"] = Array(DType::fp32, {1});
  arrays["softmax_scale"].set(0, parameters.real("softmax_scale"));
  return arrays;
}

template <class Scalar>
std::map<std::string, Tensor<Scalar>> evaluate(const Parameters& parameters, const Arrays& arrays,
                                               Rounding rounding) {
  const auto settings = settings_of(parameters, arrays);
  const auto input = [&](const char* name) { return cast<Scalar>(to_tensor(arrays.at(name))); };
  const auto query = input("q"), key = input("k"), value = input("v");
  auto forward = reference::attention_forward(query, key, value, settings, rounding);
  auto backward =
      reference::attention_backward(query, key, value, input("grad_y"), settings, rounding);
  std::map<std::string, Tensor<Scalar>> values;
  values["outputs/y"] = std::move(forward.y);
  values["outputs/logsumexp"] = std::move(forward.logsumexp);
  values["grads/q"] = std::move(backward.query);
  values["grads/k"] = std::move(backward.key);
  values["grads/v"] = std::move(backward.value);
  return values;
}

Values magnitude(const Parameters& parameters, const Arrays& arrays) {
  Values values;
  for (const auto& [key, tensor] : evaluate<Magnitude>(parameters, arrays, Rounding::exact())) {
    Tensor<double> magnitudes(tensor.shape());
    for (Index i = 0; i < tensor.size(); ++i) magnitudes[i] = tensor[i].magnitude;
    values[key] = std::move(magnitudes);
  }
  return values;
}

// Equal queries and keys give every query of a document's n-th token the same logsumexp. Plain
// attention within documents of one token shows each query one key: no gradient reaches q and k.
// Nor does any where few queries, large integers, each give all to one key.
bool trivial(const Parameters& parameters, const OutputRow& output) {
  if (output.name == "logsumexp") {
    return parameters.word("fill") == "constant" || parameters.integer("T") == 1;
  }
  if (output.name != "q" && output.name != "k") return false;
  if (parameters.word("fill") == "integers" && parameters.integer("T") <= 4) return true;
  const auto documents = parameters.integers("documents");
  return !parameters.has("pairing") && *std::max_element(documents.begin(), documents.end()) <= 1;
}

Work work(const Parameters& parameters, bool backward) {
  AttentionSettings settings;
  settings.pairing = pairing_of(parameters);
  settings.window = parameters.integer("window");
  settings.cu_seqlens = cu_seqlens_of(parameters.integers("documents"));
  const Index tokens = parameters.integer("T"), heads = parameters.integer("H");
  const auto head_dim = static_cast<double>(parameters.integer("D"));
  const double tensor = 2 * static_cast<double>(tokens * heads) * head_dim;
  const double statistics = 4 * static_cast<double>(tokens * heads);
  const auto pairs = static_cast<double>(reference::visible_pairs(tokens, heads, settings));
  // Forward reads q, k, v and writes y; backward reads q, k, v, y, grad_y and writes three
  // gradients.
  return backward ? Work{8 * tensor + statistics, 10 * head_dim * pairs}
                  : Work{4 * tensor + statistics, 4 * head_dim * pairs};
}

std::vector<Parameters> edges(bool paired) {
  std::vector<std::string> texts = {
      "T=1 H=6 D=16 documents=1 window=1",           "T=1 H=6 D=128 documents=1,0,0 window=5000",
      "T=2 H=6 D=16 documents=1,1 window=1",         "T=3 H=2 D=16 documents=3 window=2",
      "T=17 H=6 D=32 documents=0,16,0,1 window=3",   "T=64 H=2 D=128 documents=64 window=128",
      "T=65 H=6 D=16 documents=1,63,1 window=7",     "T=129 H=2 D=64 documents=129 window=5000",
      "T=130 H=2 D=16 documents=100,30 window=128",  "T=257 H=2 D=16 documents=1,255,1 window=64",
      "T=40 H=6 D=24 documents=40 window=9",         "T=48 H=4 D=72 documents=20,0,28 window=11",
      "T=33 H=6 D=128 documents=11,11,11 window=32",
  };
  std::vector<Parameters> list;
  for (const std::string& text : texts) {
    const std::string common = text + " softmax_scale=0.1 fill=normal";
    if (!paired) {
      list.push_back(Parameters::parse(common));
      continue;
    }
    list.push_back(Parameters::parse(common + " pairing=strided"));
    list.push_back(Parameters::parse(common + " pairing=adjacent"));
  }
  return list;
}

Component row(bool paired) {
  Component component;
  component.name = paired ? "attention_paired" : "attention_plain";
  component.spec_section = paired ? "SPEC §3.7" : "SPEC §3.6";
  component.outputs = {{.name = "y", .is_gradient = false, .dtype = DType::bf16},
                       {.name = "logsumexp", .is_gradient = false, .dtype = DType::fp32},
                       {.name = "v", .is_gradient = true, .dtype = DType::bf16},
                       {.name = "q", .is_gradient = true, .dtype = DType::bf16},
                       {.name = "k", .is_gradient = true, .dtype = DType::bf16}};
  component.draw = [paired](Random& random, double size) { return draw(random, size, paired); };
  component.edges = edges(paired);
  component.shrink = [paired](const Parameters& p) { return shrink(p, paired); };
  component.check = [paired](const Parameters& p) { check(p, paired); };
  component.inputs = inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& output) {
    Shape shape = {p.integer("T"), p.integer("H")};
    if (output.name != "logsumexp") shape.push_back(p.integer("D"));
    return shape;
  };
  component.reference = evaluate<double>;
  component.magnitude = magnitude;
  component.trivial = trivial;
  component.work = work;
  return component;
}

}  // namespace

std::vector<Component> attention_rows() { return {row(false), row(true)}; }

}  // namespace pairedhead
