#include "tests/tools/fake_component.h"

#include <cmath>
#include <numeric>

namespace pairedhead::testing {
namespace {

constexpr double factor = 1.1;

Arrays random_tensors(const std::vector<std::string>& names, const Shape& shape,
                      std::uint64_t seed) {
  Arrays arrays;
  std::uint64_t stream = 0;
  for (const std::string& name : names) {
    Random random = Random(seed).split(++stream);
    Array array(DType::bf16, shape);
    for (Index i = 0; i < array.size(); ++i) array.set(i, random.normal());
    arrays.emplace(name, std::move(array));
  }
  return arrays;
}

Shape shape_of(const Parameters& p) { return {p.integer("T"), p.integer("H"), p.integer("D")}; }

// First token of each token's document.
std::vector<Index> starts_of(const Parameters& p) {
  std::vector<Index> starts;
  for (const Index length : p.integers("documents")) {
    const auto start = static_cast<Index>(starts.size());
    for (Index i = 0; i < length; ++i) starts.push_back(start);
  }
  return starts;
}

// y and the gradient of x of `averaging`, of |x| and |grad_y| for the magnitudes.
Values average(const Parameters& p, const Tensor<double>& x, const Tensor<double>& grad_y,
               Rounding rounding) {
  const auto starts = starts_of(p);
  Tensor<double> scaled(x.shape());
  for (Index i = 0; i < x.size(); ++i) scaled[i] = rounding.bf16(factor * x[i]);
  Tensor<double> y(x.shape()), grad_x(x.shape());
  for (Index t = 0; t < x.dim(0); ++t) {
    const Index start = starts[static_cast<std::size_t>(t)];
    const auto count = static_cast<double>(t - start + 1);
    for (Index h = 0; h < x.dim(1); ++h) {
      for (Index d = 0; d < x.dim(2); ++d) {
        const double share = rounding.bf16(factor * grad_y(t, h, d) / count);
        for (Index s = start; s <= t; ++s) {
          y(t, h, d) += scaled(s, h, d) / count;
          grad_x(s, h, d) += share;
        }
      }
    }
  }
  return {{"outputs/y", std::move(y)}, {"grads/x", std::move(grad_x)}};
}

Tensor<double> absolute(const Array& array) {
  Tensor<double> tensor = to_tensor(array);
  for (double& value : tensor.values()) value = std::abs(value);
  return tensor;
}

void check_averaging(const Parameters& p) {
  const auto documents = p.integers("documents");
  if (p.integer("T") < 1 || p.integer("H") < 1 || p.integer("D") < 1 ||
      std::accumulate(documents.begin(), documents.end(), Index{0}) != p.integer("T")) {
    throw InputError("averaging: expected documents that sum to T, got " + p.text());
  }
}

std::vector<Parameters> shrink_averaging(const Parameters& p) {
  std::vector<Parameters> smaller;
  const Index tokens = p.integer("T");
  for (const Index t : {Index{1}, tokens / 2, tokens - 1}) {
    if (t >= 1 && t < tokens) {
      smaller.push_back(Parameters(p).set("T", t).set("documents", std::vector<Index>{t}));
    }
  }
  for (const char* name : {"H", "D"}) {
    const Index size = p.integer(name);
    for (const Index s : {Index{1}, size / 2, size - 1}) {
      if (s >= 1 && s < size) smaller.push_back(Parameters(p).set(name, s));
    }
  }
  return smaller;
}

}  // namespace

Component averaging() {
  Component component;
  component.name = "averaging";
  component.spec_section = "none";
  component.outputs = {{"y", false, DType::bf16}, {"x", true, DType::bf16}};
  component.edges = {Parameters::parse("T=1 H=1 D=8 documents=1"), averaging_case()};
  component.draw = [](Random& random, double size) {
    const Index tokens = 1 + static_cast<Index>(size * 31);
    const Index first = random.integer(0, tokens);
    return Parameters()
        .set("T", tokens)
        .set("H", random.integer(1, 4))
        .set("D", 8 * random.integer(1, 4))
        .set("documents", std::vector<Index>{first, tokens - first});
  };
  component.shrink = shrink_averaging;
  component.check = check_averaging;
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    return random_tensors({"x", "grad_y"}, shape_of(p), seed);
  };
  component.reference = [](const Parameters& p, const Arrays& inputs, Rounding rounding) {
    return average(p, to_tensor(inputs.at("x")), to_tensor(inputs.at("grad_y")), rounding);
  };
  component.magnitude = [](const Parameters& p, const Arrays& inputs) {
    return average(p, absolute(inputs.at("x")), absolute(inputs.at("grad_y")), Rounding::exact());
  };
  return component;
}

Component doubling() {
  Component component;
  component.name = "doubling";
  component.spec_section = "none";
  component.judgement = Judgement::bitwise;
  component.outputs = {{"y", false, DType::bf16}};
  component.edges = {Parameters::parse("T=3 D=8")};
  component.draw = [](Random& random, double size) {
    return Parameters().set("T", 1 + static_cast<Index>(size * 9)).set("D", random.integer(1, 9));
  };
  component.shrink = [](const Parameters& p) {
    std::vector<Parameters> smaller;
    for (const char* name : {"T", "D"}) {
      if (p.integer(name) > 1) smaller.push_back(Parameters(p).set(name, p.integer(name) - 1));
    }
    return smaller;
  };
  component.check = [](const Parameters& p) {
    if (p.integer("T") < 1 || p.integer("D") < 1) throw InputError("doubling: no elements");
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    return random_tensors({"x"}, {p.integer("T"), p.integer("D")}, seed);
  };
  component.reference = [](const Parameters&, const Arrays& inputs, Rounding) {
    Tensor<double> y = to_tensor(inputs.at("x"));
    for (double& value : y.values()) value *= 2;
    return Values{{"outputs/y", std::move(y)}};
  };
  return component;
}

void honest_averaging(const Parameters& p, const Arrays& inputs, Arrays& outputs) {
  const Array& x = inputs.at("x");
  const Array& grad_y = inputs.at("grad_y");
  Array& y = outputs.at("outputs/y");
  Array& grad_x = outputs.at("grads/x");
  const auto starts = starts_of(p);
  const Index tokens = p.integer("T"), width = p.integer("H") * p.integer("D");
  const auto scaled = [](const Array& array, Index i, float divisor) {
    return static_cast<float>(round_to(
        DType::bf16, static_cast<float>(factor) * static_cast<float>(array.at(i)) / divisor));
  };
  for (Index column = 0; column < width; ++column) {
    for (Index t = 0; t < tokens; ++t) {
      const Index start = starts[static_cast<std::size_t>(t)];
      float sum = 0;
      for (Index s = t; s >= start; --s) sum += scaled(x, s * width + column, 1);
      y.set(t * width + column, sum / static_cast<float>(t - start + 1));
      float grad = 0;
      for (Index u = tokens - 1; u >= t; --u) {
        const Index first = starts[static_cast<std::size_t>(u)];
        if (first <= t) {
          grad += scaled(grad_y, u * width + column, static_cast<float>(u - first + 1));
        }
      }
      grad_x.set(t * width + column, grad);
    }
  }
}

void honest_doubling(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  const Array& x = inputs.at("x");
  for (Index i = 0; i < x.size(); ++i) outputs.at("outputs/y").set(i, 2 * x.at(i));
}

FakeTarget cheating(const FakeTarget::Run& change) {
  return FakeTarget([change](const Parameters& p, const Arrays& inputs, Arrays& outputs) {
    honest_averaging(p, inputs, outputs);
    change(p, inputs, outputs);
  });
}

Parameters averaging_case() { return Parameters::parse("T=24 H=4 D=16 documents=10,14"); }

}  // namespace pairedhead::testing
