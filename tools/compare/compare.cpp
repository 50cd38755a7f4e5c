#include "tools/compare/compare.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/verdict/second_opinion.h"

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
    TensorVerdict verdict = judge_ratio(
        row, in_dtype(given, row.dtype), exact, truth.scale.at(row.key()),
        known == truth.independence.end() ? all_independent(exact.shape()) : known->second);
    verdict.draws = truth.draws;
    return verdict;
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

bool gives_all_stages(const BatchCase& yours, const Component& component) {
  return std::all_of(component.stages.begin(), component.stages.end(),
                     [&](const std::string& key) { return yours.arrays.contains(key); });
}

// What the outputs are held against: the golden, or what each stage should have made of yours where
// the component is judged stage by stage and all stages are there.
Truth truth_for(const GoldenCase& golden, const Component& component, const BatchCase& yours) {
  Truth truth = truth_in(golden, component);
  if (!gives_all_stages(yours, component)) return truth;
  return truth_of_stages(component, Parameters::parse(golden.parameters), golden.inputs,
                         golden.seed, truth, yours.arrays);
}

// Scale and independence by as many draws as a second opinion takes; once.
void know_better(const GoldenCase& golden, const Component& component, const BatchCase& yours,
                 Truth& truth) {
  if (truth.draws > noise_draws) return;
  Index elements = 0;
  for (const auto& [key, tensor] : truth.exact) elements += tensor.size();
  const int draws = std::max(noise_draws, draws_of_second_opinion(elements));
  const auto parameters = Parameters::parse(golden.parameters);
  Truth better = gives_all_stages(yours, component)
                     ? truth_given_outputs(component, parameters, golden.inputs, golden.seed,
                                           yours.arrays, draws)
                     : truth_of(component, parameters, golden.inputs, golden.seed, draws);
  better.exact = std::move(truth.exact);
  truth = std::move(better);
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
    // they can be, and by few draws. Only where that fails it is worth many to know better.
    if (is_isolated_failure(verdict) && !component.compares_bits(row)) {
      know_better(golden, component, yours, truth);
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
