#include "tools/components/row_plan.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <sstream>

#include "tools/components/fill.h"

namespace pairedhead {
namespace {

Index extent(const std::string& axis, const Parameters& parameters) {
  Index product = 1;
  std::istringstream factors(axis);
  for (std::string factor; std::getline(factors, factor, '*');) {
    const bool number = std::isdigit(static_cast<unsigned char>(factor[0])) != 0;
    product *= number ? std::stoll(factor) : parameters.integer(factor);
  }
  return product;
}

Shape shape_of(const TensorPlan& plan, const Parameters& parameters) {
  Shape shape;
  for (const std::string& axis : plan.axes) shape.push_back(extent(axis, parameters));
  return shape;
}

double draw_scalar(Random& random) {
  const double sign = random.integer(0, 1) == 0 ? 1 : -1;
  return sign * (0.25 + 1.25 * random.uniform01());
}

Array filled_as_planned(const TensorPlan& plan, const Parameters& parameters, Random random) {
  Array array(plan.dtype, shape_of(plan, parameters));
  if (plan.fill == "scalar") {
    for (Index i = 0; i < array.size(); ++i) array.set(i, draw_scalar(random));
  } else if (plan.fill == "tokens") {
    const Index last = parameters.integer("V") - 1;
    for (Index i = 0; i < array.size(); ++i) {
      array.set(i, static_cast<double>(random.integer(0, last)));
    }
  } else if (plan.fill == "weights" && parameters.word("weights") == "identity") {
    const Index rows = array.shape[0], columns = array.shape[1];
    for (Index i = 0; i < std::min(rows, columns); ++i) array.set(i * columns + i, 1);
  } else {
    const std::string fill = plan.fill == "case"      ? parameters.word("fill")
                             : plan.fill == "weights" ? "normal"
                                                      : plan.fill;
    return filled(fill, plan.dtype, array.shape, random);
  }
  return array;
}

double bytes_of(const TensorPlan& plan, const Parameters& parameters) {
  return static_cast<double>(element_count(shape_of(plan, parameters))) *
         static_cast<double>(size_of(plan.dtype));
}

bool present(const TensorPlan& plan, const Parameters& parameters) {
  if (plan.only_where.empty()) return true;
  return parameters.has(plan.only_where) && parameters.integer(plan.only_where) == 1;
}

// What moves at least: forward reads the inputs and writes the outputs; backward reads the inputs
// and what comes in, and writes the gradients.
Work moved(const RowPlan& plan, const Parameters& parameters, bool backward) {
  Work work;
  for (const TensorPlan& output : plan.outputs) work.bytes += bytes_of(output, parameters);
  for (const TensorPlan& input : plan.inputs) {
    const bool has_gradient = backward && input.dtype != DType::int32;
    work.bytes += (has_gradient ? 2 : 1) * bytes_of(input, parameters);
  }
  if (!backward) return work;
  for (const TensorPlan& tensor : plan.incoming) {
    if (present(tensor, parameters)) work.bytes += bytes_of(tensor, parameters);
  }
  return work;
}

std::vector<Parameters> smaller_settings(const Parameters& p, const std::vector<Extent>& extents) {
  std::vector<Parameters> smaller;
  for (const auto& [name, least, step] : extents) {
    const Index value = p.integer(name);
    std::set<Index> kept;
    for (const Index wanted : {least, least + step, value / 2, value - step}) {
      const Index fitting = wanted / step * step;
      if (fitting >= least && fitting < value) kept.insert(fitting);
    }
    for (const Index fitting : kept) smaller.push_back(Parameters(p).set(name, fitting));
  }
  const std::string fill = simpler_fill(p.word("fill"));
  if (!fill.empty()) smaller.push_back(Parameters(p).set("fill", fill));
  return smaller;
}

void check_extents(const Parameters& p, const std::vector<Extent>& extents) {
  for (const auto& [name, least, step] : extents) {
    if (p.integer(name) >= least && p.integer(name) % step == 0) continue;
    throw InputError(name + ": expected " +
                     (step > 1 ? "a multiple of " + std::to_string(step) + " from " : "at least ") +
                     std::to_string(least) + (step > 1 ? " on" : "") + ", got " + p.word(name));
  }
  if (!p.has("fill")) return;  // whoever brings inputs of his own says nothing of their making
  const auto& words = fill_words();
  if (std::find(words.begin(), words.end(), p.word("fill")) == words.end()) {
    throw InputError("fill: expected a word that fills tensors, got \"" + p.word("fill") + "\"");
  }
}

}  // namespace

Component planned_row(const RowPlan& plan) {
  Component component;
  component.name = plan.name;
  component.spec_section = plan.spec_section;
  std::map<std::string, TensorPlan> planned;  // outputs by OutputRow::key()
  std::vector<TensorPlan> inputs = plan.inputs;
  const auto add = [&](const TensorPlan& tensor, bool is_gradient) {
    OutputRow row{.name = tensor.name, .is_gradient = is_gradient, .dtype = tensor.dtype};
    row.bitwise = std::find(plan.moved.begin(), plan.moved.end(), row.key()) != plan.moved.end();
    planned[row.key()] = tensor;
    component.outputs.push_back(std::move(row));
  };
  for (const TensorPlan& output : plan.outputs) {
    add(output, false);
    inputs.push_back({"grad_" + output.name, output.axes, output.dtype, "normal"});
  }
  for (const TensorPlan& input : plan.inputs) {
    if (input.dtype != DType::int32) add(input, true);
  }
  inputs.insert(inputs.end(), plan.incoming.begin(), plan.incoming.end());
  component.inputs = [inputs](const Parameters& parameters, std::uint64_t seed) {
    Random random(seed);
    Arrays arrays;
    std::uint64_t stream = 0;
    for (const TensorPlan& input : inputs) {
      const Random own = random.split(++stream);
      if (!present(input, parameters)) continue;
      arrays[input.name] = filled_as_planned(input, parameters, own);
    }
    return arrays;
  };
  component.output_shape = [planned](const Parameters& parameters, const OutputRow& row) {
    return shape_of(planned.at(row.key()), parameters);
  };
  component.work = [plan](const Parameters& parameters, bool backward) {
    return moved(plan, parameters, backward);
  };
  return component;
}

void set_extents(Component& component, const std::vector<Extent>& extents) {
  component.check = [extents](const Parameters& p) { check_extents(p, extents); };
  component.shrink = [extents](const Parameters& p) { return smaller_settings(p, extents); };
}

void add_switches(Component& component, const std::vector<std::string>& names) {
  component.draw = [draw = component.draw, names](Random& random, double size) {
    Parameters drawn = draw(random, size);
    for (const std::string& name : names) drawn.set(name, random.integer(0, 1));
    return drawn;
  };
  component.check = [check = component.check, names](const Parameters& p) {
    check(p);
    for (const std::string& name : names) {
      if (!p.has(name) || p.integer(name) == 0 || p.integer(name) == 1) continue;
      throw InputError(name + ": expected 0 or 1, got " + p.word(name));
    }
  };
  component.shrink = [shrink = component.shrink, names](const Parameters& p) {
    std::vector<Parameters> smaller = shrink(p);
    for (const std::string& name : names) {
      if (p.has(name) && p.integer(name) == 1) smaller.push_back(Parameters(p).set(name, 0));
    }
    return smaller;
  };
}

Component token_row(const RowPlan& plan) {
  Component component = planned_row(plan);
  component.draw = [](Random& random, double size) {
    constexpr std::array<Index, 7> widths = {16, 96, 12, 40, 128, 384, 768};
    const Index width = widths[static_cast<std::size_t>(random.integer(0, 6))];
    return Parameters()
        .set("T", draw_tokens(random, size, width))
        .set("C", width)
        .set("fill", draw_fill(random));
  };
  component.edges = {
      Parameters::parse("T=1 C=12 fill=normal"), Parameters::parse("T=2 C=13 fill=normal"),
      Parameters::parse("T=5 C=16 fill=integers"), Parameters::parse("T=20 C=768 fill=tiny"),
      Parameters::parse("T=160 C=96 fill=sharp")};
  set_extents(component, {{"T"}, {"C", 12}});
  return component;
}

std::string draw_fill(Random& random) {
  return random.integer(0, 1) == 0 ? "normal"
                                   : fill_words()[static_cast<std::size_t>(random.integer(0, 4))];
}

Index draw_tokens(Random& random, double size, Index width) {
  constexpr double largest_tensor = 12000;
  const Index most = static_cast<Index>(size * largest_tensor) / width;
  return random.integer(1, std::clamp<Index>(most, 2, 300));
}

}  // namespace pairedhead
