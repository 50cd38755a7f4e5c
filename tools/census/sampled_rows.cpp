#include "tools/census/sampled_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "reference/visibility.h"
#include "tools/components/documents.h"
#include "tools/components/rows.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

// Tokens [first, last) and heads of a large case.
struct Neighbourhood {
  Index token, first, last;
  std::vector<Index> heads;
};

// The rows of `array` ([T, H, D] or [T, H]) that the neighbourhood keeps, in its order.
Array cut(const Array& array, Index first, Index last, const std::vector<Index>& heads) {
  Shape shape = array.shape;
  shape[0] = last - first;
  shape[1] = static_cast<Index>(heads.size());
  Array part(array.dtype, shape);
  const Index elements = shape.size() > 2 ? shape[2] : 1;
  const std::size_t bytes = static_cast<std::size_t>(elements) * size_of(array.dtype);
  std::byte* to = part.bytes.data();
  for (Index token = first; token < last; ++token) {
    for (Index head : heads) {
      const auto row = static_cast<std::size_t>(token * array.shape[1] + head);
      std::memcpy(to, array.bytes.data() + row * bytes, bytes);
      to += bytes;
    }
  }
  return part;
}

Tensor<double> row_of(const Tensor<double>& tensor, Index token) {
  Shape shape = tensor.shape();
  shape[0] = 1;
  Tensor<double> row(shape);
  for (Index i = 0; i < row.size(); ++i) row[i] = tensor[token * row.size() + i];
  return row;
}

Neighbourhood around(const Parameters& parameters, Index token, Index head) {
  const Pairing pairing = pairing_of(parameters);
  const Index heads = parameters.integer("H"), window = parameters.integer("window");
  const Index reach = pairing == Pairing::none ? window : (window + 1) / 2;
  const auto cu_seqlens = cu_seqlens_of(parameters.integers("documents"));
  const Index start = reference::document_start(token, cu_seqlens);
  const Index end = *std::upper_bound(cu_seqlens.begin(), cu_seqlens.end(), token);
  Neighbourhood cut{
      token, std::max(start, token - reach), std::min(end, token + reach + 1), {head}};
  if (pairing != Pairing::none) {
    const Index partner = reference::partner_of(head, heads, pairing);
    cut.heads.push_back(partner);
    if (reference::row_in_pair(head, heads, pairing) == 1) std::swap(cut.heads[0], cut.heads[1]);
  }
  return cut;
}

}  // namespace

SampledResult sampled_rows(Target& target, const Component& attention, const Parameters& parameters,
                           std::uint64_t seed, Index samples) {
  attention.check(parameters);
  const Index tokens = parameters.integer("T"), heads = parameters.integer("H");
  const Arrays inputs = attention.inputs(parameters, seed);
  Arrays outputs = poisoned_outputs(attention, parameters, seed);
  target.run(attention, parameters, inputs, outputs);

  Random random(seed);
  SampledResult result;
  for (Index sample = 0; sample < samples; ++sample) {
    Index token = sample == 1 ? tokens - 1 : random.integer(0, tokens - 1);
    if (sample == 0) {
      token = reference::document_start(token, cu_seqlens_of(parameters.integers("documents")));
    }
    const Neighbourhood place = around(parameters, token, random.integer(0, heads - 1));
    const Index length = place.last - place.first;
    Parameters small = parameters;
    small.set("T", length)
        .set("H", static_cast<Index>(place.heads.size()))
        .set("documents", std::vector<Index>{length});
    Arrays near = attention.inputs(Parameters(small).set("fill", std::string("constant")), seed);
    for (const char* name : {"q", "k", "v", "grad_y"}) {
      near[name] = cut(inputs.at(name), place.first, place.last, place.heads);
    }
    const Truth truth = truth_of(attention, small, near, seed);
    for (const OutputRow& row : attention.outputs) {
      const Array got = cut(outputs.at(row.key()), token, token + 1, place.heads);
      const Index at = token - place.first, rows = got.size() / row_width(got.shape);
      const TensorVerdict verdict = judge_ratio(
          row, got, row_of(truth.exact.at(row.key()), at), row_of(truth.scale.at(row.key()), at),
          rows_of(truth.independence.at(row.key()), at * rows, rows));
      result.worst = worst_of(result.worst, verdict.ratios);
      if (verdict.status == Status::passed) continue;
      if (result.failed++ == 0) {
        result.first_failure =
            fmt::format("token {} head {}, {}: {}", token, place.heads.front(), row.key(),
                        verdict.first ? describe(verdict, *verdict.first) : verdict.reason);
      }
    }
    result.rows += static_cast<Index>(place.heads.size());
  }
  return result;
}

}  // namespace pairedhead
