#include "reference/optim/adam.h"
#include "reference/optim/cautious_split.h"
#include "reference/optim/momentum.h"
#include "reference/optim/optimizer.h"
#include "tools/components/fill.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

// Elements of a parameter, each moved by itself. fill: normal, or special (fill.h).
Component elementwise(const std::string& name, const std::string& section) {
  Component component;
  component.name = name;
  component.spec_section = section;
  component.judgement = Judgement::bitwise;
  component.draw = [](Random& random, double size) {
    return Parameters()
        .set("n", random.integer(1, 8 + static_cast<Index>(size * 2000)))
        .set("fill", std::string(random.integer(0, 2) == 0 ? "special" : "normal"));
  };
  component.edges = {Parameters::parse("n=1 fill=normal"), Parameters::parse("n=300 fill=normal"),
                     Parameters::parse("n=1500 fill=special")};
  component.shrink = [](const Parameters& p) {
    auto smaller = smaller_values(p, "n", 1);
    const std::string fill = simpler_fill(p.word("fill"));
    if (!fill.empty()) smaller.push_back(Parameters(p).set("fill", fill));
    return smaller;
  };
  component.check = [](const Parameters& p) { check_at_least(p, "n", 1); };
  component.output_shape = [](const Parameters& p, const OutputRow&) {
    return Shape{p.integer("n")};
  };
  return component;
}

Array one(DType dtype, double value) {
  Array array(dtype, {1});
  array.set(0, value);
  return array;
}

// `size` times a normal or special fill; a special value stays what it is.
Array scaled(const Parameters& p, DType dtype, double size, Random random) {
  Array array = filled(p.word("fill"), dtype, {p.integer("n")}, random);
  for (Index i = 0; i < array.size(); ++i) {
    if (std::abs(array.at(i)) < 8 && std::abs(array.at(i)) > 0x1p-20) {
      array.set(i, size * array.at(i));
    }
  }
  return array;
}

// Zeros of both signs in about one element of eight, the same ones for equal `random`.
void strew_zeros(Array& array, Random random) {
  for (Index i = 0; i < array.size(); ++i) {
    const Index die = random.integer(0, 15);
    if (die < 2) array.set(i, die == 0 ? 0.0 : -0.0);
  }
}

float single(const Arrays& arrays, const char* name) {
  return static_cast<float>(arrays.at(name).at(0));
}

// So many bytes an element, read and written; gradients in fp32, as the trainer sums them.
std::function<Work(const Parameters&, bool)> moving(double bytes) {
  return [=](const Parameters& p, bool) {
    return Work{.bytes = bytes * static_cast<double>(p.integer("n"))};
  };
}

Component cautious_split_update() {
  Component component = elementwise("cautious_split_update", "SPEC §6.2");
  component.outputs = {
      {.name = "parameter", .is_gradient = false, .dtype = DType::bf16, .may_be_nan = true},
      {.name = "mantissa", .is_gradient = false, .dtype = DType::uint16}};
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    Arrays arrays;
    arrays["parameter"] = scaled(p, DType::bf16, 0.03, random.split(1));
    Array& mantissa = arrays["mantissa"] = Array(DType::uint16, {p.integer("n")});
    for (Index i = 0; i < mantissa.size(); ++i) {
      mantissa.set(i, static_cast<double>(random.integer(0, 0xffff)));
    }
    // Small enough now and then for the step not to reach a bf16, large enough to change a sign.
    const double size = random.integer(0, 1) ? 1 : 0x1p-6;
    arrays["direction"] = scaled(p, DType::bf16, size, random.split(2));
    strew_zeros(arrays["direction"], random.split(3));
    const double rate = 0.1 + 1.63 * random.uniform01();  // lr(step)
    arrays["learning_rate"] = one(DType::fp32, (random.integer(0, 1) ? 0.046 : 0.092) * rate);
    arrays["weight_decay"] = one(DType::fp32, 0.0276 * rate);
    return arrays;
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    Tensor<double> parameter({p.integer("n")}), mantissa({p.integer("n")});
    for (Index i = 0; i < parameter.size(); ++i) {
      const reference::SplitFloat moved = reference::cautious_split_update(
          {arrays.at("parameter").as<std::uint16_t>()[i],
           arrays.at("mantissa").as<std::uint16_t>()[i]},
          static_cast<float>(arrays.at("direction").at(i)), single(arrays, "learning_rate"),
          single(arrays, "weight_decay"));
      parameter[i] = from_bf16_bits(moved.high);
      mantissa[i] = moved.low;
    }
    return Values{{"outputs/parameter", std::move(parameter)},
                  {"outputs/mantissa", std::move(mantissa)}};
  };
  component.work = moving(2 + 2 * (2 + 2));
  return component;
}

// SPEC §2: the lambdas are fp32, all others bf16.
DType storage_of(const Parameters& p) {
  const std::string label = p.word("label");
  return label == "x0_lambdas" || label == "scalars" ? DType::fp32 : DType::bf16;
}

Component adam_step() {
  Component component = elementwise("adam_step", "SPEC §6.3");
  // The parameter as stored, in fp32 whatever its storage.
  for (const char* name : {"parameter", "first_moment", "second_moment"}) {
    component.outputs.push_back(
        {.name = name, .is_gradient = false, .dtype = DType::fp32, .may_be_nan = true});
  }
  component.draw = [draw = component.draw](Random& random, double size) {
    constexpr const char* labels[] = {"lm_head", "value_embed", "smear_gate", "x0_lambdas",
                                      "scalars"};
    return draw(random, size)
        .set("label", std::string(labels[random.integer(0, 4)]))
        .set("updates", random.integer(0, 2) ? random.integer(1, 900) : 1);
  };
  component.edges = {Parameters::parse("n=300 fill=normal label=lm_head updates=1"),
                     Parameters::parse("n=300 fill=normal label=scalars updates=579"),
                     Parameters::parse("n=1500 fill=special label=value_embed updates=2"),
                     Parameters::parse("n=1500 fill=special label=x0_lambdas updates=887")};
  component.shrink = [shrink = component.shrink](const Parameters& p) {
    auto smaller = shrink(p);
    const auto fewer = smaller_values(p, "updates", 1);
    smaller.insert(smaller.end(), fewer.begin(), fewer.end());
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_at_least(p, "n", 1);
    check_at_least(p, "updates", 1);
    reference::adam_betas(p.word("label"));
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    const DType storage = storage_of(p);
    const double size = random.integer(0, 2) ? 1e-3 : 1e-9;  // of gradients; rare ones are small
    Arrays arrays;
    arrays["parameter"] = scaled(p, storage, 0.05, random.split(1));
    arrays["gradient"] = scaled(p, storage, size, random.split(2));
    Array& first = arrays["first_moment"] = scaled(p, DType::fp32, size, random.split(3));
    Array& second = arrays["second_moment"] = scaled(p, DType::fp32, size, random.split(4));
    for (Index i = 0; i < second.size(); ++i) second.set(i, second.at(i) * second.at(i));
    strew_zeros(arrays["gradient"], random.split(5));
    if (random.integer(0, 1)) {  // of parameters that were never touched
      for (Array* moment : {&first, &second}) strew_zeros(*moment, random.split(5));
    }
    for (Index i = 0; i < second.size(); ++i) second.set(i, std::abs(second.at(i)));
    const reference::AdamBetas betas = reference::adam_betas(p.word("label"));
    constexpr double rates[] = {0.008, 0.6, 8e-5, 0.04}, decays[] = {0, 0.005, 0.025, 0.75};
    arrays["beta1"] = one(DType::fp64, betas.beta1);
    arrays["beta2"] = one(DType::fp64, betas.beta2);
    arrays["learning_rate"] =
        one(DType::fp64, rates[random.integer(0, 3)] * (0.1 + 1.63 * random.uniform01()));
    arrays["weight_decay"] = one(DType::fp64, decays[random.integer(0, 3)]);
    arrays["updates"] = one(DType::int32, static_cast<double>(p.integer("updates")));
    return arrays;
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    const auto at = [&](const char* name, Index i) {
      return static_cast<float>(arrays.at(name).at(i));
    };
    const reference::AdamSettings settings = {
        .beta1 = arrays.at("beta1").at(0),
        .beta2 = arrays.at("beta2").at(0),
        .learning_rate = arrays.at("learning_rate").at(0),
        .weight_decay = arrays.at("weight_decay").at(0),
        .updates = static_cast<Index>(arrays.at("updates").at(0))};
    Tensor<double> parameter({p.integer("n")}), first({p.integer("n")}), second({p.integer("n")});
    for (Index i = 0; i < parameter.size(); ++i) {
      const auto moved =
          reference::adam_step({at("parameter", i), at("first_moment", i), at("second_moment", i)},
                               at("gradient", i), settings, storage_of(p));
      parameter[i] = static_cast<double>(moved.parameter);
      first[i] = static_cast<double>(moved.first);
      second[i] = static_cast<double>(moved.second);
    }
    return Values{{"outputs/parameter", std::move(parameter)},
                  {"outputs/first_moment", std::move(first)},
                  {"outputs/second_moment", std::move(second)}};
  };
  component.work = [](const Parameters& p, bool backward) {
    const double parameter = storage_of(p) == DType::bf16 ? 2 : 4;
    return moving(4 + 2 * (parameter + 4 + 4))(p, backward);
  };
  return component;
}

template <class Scalar>
std::map<std::string, Tensor<Scalar>> evaluate_momentum(const Arrays& arrays) {
  auto result = reference::momentum_update(cast<Scalar>(to_tensor(arrays.at("gradient"))),
                                           cast<Scalar>(to_tensor(arrays.at("moment"))),
                                           arrays.at("momentum").at(0));
  return {{"outputs/moment", std::move(result.moment)},
          {"outputs/direction", std::move(result.direction)}};
}

Component momentum() {
  Component component = elementwise("momentum", "SPEC §6.1");
  component.judgement = Judgement::ratio;
  for (const char* name : {"moment", "direction"}) {
    component.outputs.push_back({.name = name, .is_gradient = false, .dtype = DType::fp32});
  }
  component.draw = [](Random& random, double size) {
    return Parameters()
        .set("n", random.integer(1, 8 + static_cast<Index>(size * 2000)))
        .set("fill", fill_words()[static_cast<std::size_t>(random.integer(0, 4))]);
  };
  component.edges = {Parameters::parse("n=1 fill=normal"), Parameters::parse("n=300 fill=normal"),
                     Parameters::parse("n=300 fill=integers")};
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    const double mu = 0.85 + 0.1 * random.uniform01();
    return Arrays{
        {"gradient", filled(p.word("fill"), DType::bf16, {p.integer("n")}, random.split(1))},
        {"moment", filled("normal", DType::fp32, {p.integer("n")}, random.split(2))},
        {"momentum", one(DType::fp32, mu)}};
  };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    return evaluate_momentum<double>(arrays);
  };
  component.magnitude = [](const Parameters&, const Arrays& arrays) {
    return magnitudes(evaluate_momentum<Magnitude>(arrays));
  };
  component.work = moving(4 + 2 * 4 + 4);
  return component;
}

}  // namespace

std::vector<Component> optimizer_rows() {
  return {momentum(), cautious_split_update(), adam_step()};
}

}  // namespace pairedhead
