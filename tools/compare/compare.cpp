#include "tools/compare/compare.h"

#include <fmt/format.h>

#include <algorithm>

namespace pairedhead {
namespace {

const GoldenCase& golden_named(const std::vector<GoldenCase>& golden, const std::string& name) {
  const auto found = std::find_if(golden.begin(), golden.end(),
                                  [&](const GoldenCase& one) { return one.name == name; });
  if (found == golden.end()) {
    throw InputError(
        fmt::format("case {}: the golden file has none of that name, only {}{}", name,
                    golden.empty() ? "no cases" : golden.front().name,
                    golden.size() > 1 ? fmt::format(" and {} others", golden.size() - 1) : ""));
  }
  return *found;
}

// The array in the dtype of the component's output. A program that knows only float32 gives that.
Array in_dtype(const Array& given, DType dtype) {
  if (given.dtype == dtype) return given;
  Array converted(dtype, given.shape);
  for (Index i = 0; i < given.size(); ++i) converted.set(i, given.at(i));
  return converted;
}

bool same_values(const Array& a, const Array& b) {
  for (Index i = 0; i < a.size(); ++i) {
    if (!(a.at(i) == b.at(i))) return false;
  }
  return true;
}

TensorVerdict judge_output(const Component& component, const OutputRow& row, const Array& given,
                           const Truth& truth) {
  const Tensor<double>& exact = truth.exact.at(row.key());
  if (given.shape != exact.shape()) {
    throw InputError(fmt::format("{}: expected shape {}, got {}", row.key(),
                                 to_string(exact.shape()), to_string(given.shape)));
  }
  if (!component.compares_bits(row)) {
    const auto known = truth.independence.find(row.key());
    return judge_ratio(
        row, in_dtype(given, row.dtype), exact, truth.scale.at(row.key()),
        known == truth.independence.end() ? all_independent(exact.shape()) : known->second);
  }
  const Array stored = in_dtype(given, row.dtype);
  TensorVerdict verdict = judge_bitwise(row, stored, exact);
  if (verdict.status == Status::passed && !same_values(given, stored)) {
    verdict.status = Status::failed;
    verdict.reason = fmt::format("holds values that {} cannot store", name_of(row.dtype));
  }
  return verdict;
}

// What verify would compute.
Truth verified_truth(const GoldenCase& golden, const Component& component) {
  return truth_of(component, Parameters::parse(golden.parameters), golden.inputs, golden.seed);
}

// The golden's values and its scale, which says nothing of independence; where it carries none,
// what verify would compute.
Truth truth_in(const GoldenCase& golden, const Component& component) {
  const bool complete =
      std::all_of(component.outputs.begin(), component.outputs.end(), [&](const OutputRow& row) {
        return component.compares_bits(row) || !golden.values.contains(row.key()) ||
               golden.scale.contains(row.key());
      });
  if (complete) return {golden.values, golden.scale, {}};
  Truth truth = verified_truth(golden, component);
  truth.exact = golden.values;
  return truth;
}

// What the outputs are held against: the golden, or what each stage should have made of yours where
// the component is judged stage by stage and all stages are there.
Truth truth_for(const GoldenCase& golden, const Component& component, const BatchCase& yours) {
  Truth truth = truth_in(golden, component);
  const bool all_given =
      std::all_of(component.stages.begin(), component.stages.end(),
                  [&](const std::string& key) { return yours.arrays.contains(key); });
  if (!all_given) return truth;
  return truth_of_stages(component, Parameters::parse(golden.parameters), golden.inputs,
                         golden.seed, truth, yours.arrays);
}

Comparison compare_case(const GoldenCase& golden, const BatchCase& yours) {
  const Component& component = component_named(golden.component);
  Comparison comparison{golden.name, golden.component, {}, {}};
  comparison.verdict.status = Status::skipped;
  comparison.verdict.reason = "no output was given";
  for (const auto& [key, array] : yours.arrays) {
    if (!key.starts_with("inputs/") && !golden.values.contains(key)) {
      throw InputError(fmt::format("case {}: the golden file has no {}", golden.name, key));
    }
  }
  Truth truth = truth_for(golden, component, yours);
  for (const OutputRow& row : component.outputs) {
    if (!golden.values.contains(row.key())) continue;
    const auto given = yours.arrays.find(row.key());
    if (given == yours.arrays.end()) {
      comparison.absent.push_back(row.key());
      continue;
    }
    TensorVerdict verdict = judge_output(component, row, given->second, truth);
    // As if all errors were independent, which makes the limits of rows and tensor as narrow as
    // they can be. Only where these fail it is worth the draws to know better.
    const bool by_norm = verdict.status == Status::failed && verdict.wrong_elements == 0;
    if (by_norm && !component.compares_bits(row) && truth.independence.empty()) {
      truth.independence = verified_truth(golden, component).independence;
      verdict = judge_output(component, row, given->second, truth);
    }
    add_tensor(comparison.verdict, std::move(verdict));
  }
  return comparison;
}

}  // namespace

std::vector<Comparison> compare(const std::vector<GoldenCase>& golden,
                                const std::vector<BatchCase>& yours) {
  std::vector<Comparison> comparisons;
  bool any = false;
  for (const BatchCase& one : yours) {
    try {
      comparisons.push_back(compare_case(golden_named(golden, one.name), one));
    } catch (const InputError& error) {
      const std::string sentence = error.what();
      if (sentence.starts_with("case ")) throw;
      throw InputError(fmt::format("case {}: {}", one.name, sentence));
    }
    any = any || comparisons.back().verdict.status != Status::skipped;
  }
  if (!any) throw InputError("expected outputs/ or grads/ of at least one case, got none");
  return comparisons;
}

}  // namespace pairedhead
