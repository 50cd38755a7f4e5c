#include "tools/eval/eval.h"

#include <fmt/format.h>

#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

// The given values in the component's dtype.
Array in_dtype(const std::string& name, const Array& given, const Array& form) {
  if (given.shape != form.shape) {
    throw InputError(fmt::format("inputs/{}: expected shape {}, got {}", name,
                                 to_string(form.shape), to_string(given.shape)));
  }
  Array converted(form.dtype, form.shape);
  for (Index i = 0; i < given.size(); ++i) {
    converted.set(i, given.at(i));
    if (!(converted.at(i) == given.at(i))) {
      throw InputError(fmt::format("inputs/{}: expected values that {} holds exactly, got {}", name,
                                   name_of(form.dtype), given.at(i)));
    }
  }
  return converted;
}

// A file carries its inputs, so how they were drawn need not be said.
Parameters parameters_of(const Component& component, const std::string& text) {
  Parameters parameters = Parameters::parse(text);
  const bool drawn = !component.edges.empty() && component.edges.front().has("fill");
  if (drawn && !parameters.has("fill")) parameters.set("fill", std::string("normal"));
  return parameters;
}

bool is_integer(DType dtype) { return dtype == DType::int32 || dtype == DType::uint16; }

Arrays inputs_of(const Component& component, const Parameters& parameters, const BatchCase& given) {
  // What two seeds agree on is no data but follows from the parameters.
  const Arrays form = component.inputs(parameters, 1);
  const Arrays other = component.inputs(parameters, 2);
  Arrays inputs;
  for (const auto& [name, array] : form) {
    const bool follows = other.at(name).bytes == array.bytes;
    const auto found = given.arrays.find("inputs/" + name);
    if (found == given.arrays.end()) {
      if (!follows) throw InputError(fmt::format("expected inputs/{}, got none", name));
      inputs.emplace(name, array);
      continue;
    }
    Array values = in_dtype(name, found->second, array);
    if (follows && is_integer(array.dtype) && values.bytes != array.bytes) {
      throw InputError(fmt::format("inputs/{}: expected what the parameters \"{}\" say, got others",
                                   name, parameters.text()));
    }
    inputs.emplace(name, std::move(values));
  }
  for (const auto& [key, array] : given.arrays) {
    if (key.starts_with("inputs/") && !form.contains(key.substr(7))) {
      throw InputError(fmt::format("{}: {} has no such input", key, component.name));
    }
  }
  return inputs;
}

Arrays outputs_of(const Component& component, const Parameters& parameters, const Arrays& inputs,
                  Target* target) {
  const Values exact = component.reference(parameters, inputs, Rounding::exact());
  Arrays outputs;
  if (target == nullptr) {
    for (const auto& [key, tensor] : exact) outputs.emplace(key, to_array(tensor, DType::fp64));
    return outputs;
  }
  if (const auto reason = target->skips(component)) {
    throw InputError(fmt::format("target {} has nothing to run for {}: {}", target->name(),
                                 component.name, *reason));
  }
  outputs = poisoned_outputs(component, exact, 0);
  try {
    target->run(component, parameters, inputs, outputs);
  } catch (const DeviceError&) {
    throw;
  } catch (const std::exception& error) {
    throw InputError(fmt::format("target {} failed: {}", target->name(), error.what()));
  }
  return outputs;
}

}  // namespace

BatchCase evaluate(const Component& component, const BatchCase& given, Target* target) {
  try {
    if (given.parameters.empty()) {
      throw InputError("expected an attribute parameters such as \"D=16 H=2 T=3\", got none");
    }
    if (!given.component.empty() && given.component != component.name) {
      throw InputError(
          fmt::format("expected component {}, got {}", component.name, given.component));
    }
    const Parameters parameters = parameters_of(component, given.parameters);
    component.check(parameters);
    const Arrays inputs = inputs_of(component, parameters, given);
    return {given.name, component.name, parameters.text(), given.seed,
            outputs_of(component, parameters, inputs, target)};
  } catch (const InputError& error) {
    throw InputError(fmt::format("case {}: {}", given.name, error.what()));
  }
}

}  // namespace pairedhead
