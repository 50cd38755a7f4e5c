#include "tools/census/sampled_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tools/components/rows.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

constexpr Index reach = 1;

// Places [first, last) of an array that has `extent` of them along its first axis, each one row or
// more (a rotary table of paired heads has two a token).
Array cut(const Array& array, Index extent, Index first, Index last) {
  const Index rows = array.shape.at(0) / extent;
  Array part(array.dtype, array.shape);
  part.shape[0] = rows * (last - first);
  const std::size_t bytes = array.bytes.size() / static_cast<std::size_t>(extent);
  part.bytes.assign(array.bytes.begin() + static_cast<std::ptrdiff_t>(bytes) * first,
                    array.bytes.begin() + static_cast<std::ptrdiff_t>(bytes) * last);
  return part;
}

Tensor<double> row_of(const Tensor<double>& tensor, const Shape& shape, Index place) {
  Tensor<double> row(shape);
  std::copy_n(tensor.data() + place * row.size(), row.size(), row.data());
  return row;
}

// The component as far as its outputs grow with the axis.
Component along_axis(const Component& component, const Parameters& large, const Parameters& small) {
  Component part = component;
  std::erase_if(part.outputs, [&](const OutputRow& row) {
    return component.output_shape(large, row).at(0) == component.output_shape(small, row).at(0);
  });
  return part;
}

// Inputs of the small case, cut out of the large one's.
Arrays inputs_near(const Component& component, const Parameters& small, const Arrays& inputs,
                   std::uint64_t seed, Index extent, Index first, Index last) {
  Arrays near = component.inputs(small, seed);
  for (auto& [name, array] : near) {
    const Array& whole = inputs.at(name);
    array = array.shape == whole.shape ? whole : cut(whole, extent, first, last);
  }
  return near;
}

}  // namespace

SampledResult sampled_tokens(Target& target, const Component& component,
                             const Parameters& parameters, const std::string& axis,
                             std::uint64_t seed, Index samples) {
  component.check(parameters);
  const Index extent = parameters.integer(axis);
  const Arrays inputs = component.inputs(parameters, seed);
  Arrays outputs = poisoned_outputs(component, parameters, seed);
  target.run(component, parameters, inputs, outputs);

  Random random(seed);
  SampledResult result;
  for (Index sample = 0; sample < samples; ++sample) {
    const Index ends[] = {0, extent - 1};
    const Index place = sample < 2 ? ends[sample] : random.integer(0, extent - 1);
    const Index first = std::max<Index>(0, place - reach);
    const Index last = std::min(extent, place + reach + 1);
    const Parameters small = Parameters(parameters).set(axis, last - first);
    const Component part = along_axis(component, parameters, small);
    const Truth truth = truth_of(
        part, small, inputs_near(component, small, inputs, seed, extent, first, last), seed);
    for (const OutputRow& row : part.outputs) {
      const Array got = cut(outputs.at(row.key()), extent, place, place + 1);
      const Index at = place - first, rows = got.size() / row_width(got.shape);
      const Tensor<double> exact = row_of(truth.exact.at(row.key()), got.shape, at);
      const TensorVerdict verdict =
          part.compares_bits(row)
              ? judge_bitwise(row, got, exact)
              : judge_ratio(row, got, exact, row_of(truth.scale.at(row.key()), got.shape, at),
                            rows_of(truth.independence.at(row.key()), at * rows, rows));
      result.worst = worst_of(result.worst, verdict.ratios);
      if (verdict.status == Status::passed) continue;
      if (result.failed++ == 0) {
        result.first_failure =
            fmt::format("{} = {}, {}: {}", axis, place, row.key(),
                        verdict.first ? describe(verdict, *verdict.first) : verdict.reason);
      }
    }
    result.rows += static_cast<Index>(part.outputs.size());
  }
  return result;
}

}  // namespace pairedhead
