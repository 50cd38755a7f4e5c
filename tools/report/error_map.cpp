#include "tools/report/error_map.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pairedhead {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Index blocks(Index count, Index block) { return (count + block - 1) / block; }

// Error over limit of one element; bits are right or wrong.
double share_of(double got, double wanted, double sigma, double limit) {
  const double error = std::abs(got - wanted);
  if (error == 0) return 0;
  const double share = error / (sigma * limit);
  if (!std::isfinite(share)) return infinity;
  return share;
}

const TensorVerdict* verdict_on(const Verdict& verdict, const std::string& key) {
  for (const TensorVerdict& tensor : verdict.tensors) {
    if (tensor.key == key) return &tensor;
  }
  return nullptr;
}

}  // namespace

std::optional<ErrorMap> error_map(const Component& component, Target& target,
                                  const PlannedCase& planned, const std::string& output) {
  const CaseResult result = CaseRunner(component, target).run(planned, false);
  const TensorVerdict* verdict = verdict_on(result.verdict, output);
  const auto found = result.outputs.find(output);
  if (verdict == nullptr || found == result.outputs.end()) return std::nullopt;
  const Arrays inputs = component.inputs(planned.parameters, planned.seed);
  const Truth truth = truth_of(component, planned.parameters, inputs, planned.seed);
  const Array& got = found->second;
  const Array wanted = to_array(truth.exact.at(output), got.dtype);
  const Tensor<double>& exact = truth.exact.at(output);
  const bool bitwise = component.judgement == Judgement::bitwise;

  ErrorMap map{component.name, planned, output, got.shape, 1, 1, {}, ""};
  if (verdict->worst) map.worst = describe(*verdict, *verdict->worst);
  const Index width = got.shape.empty() ? 1 : std::max<Index>(got.shape.back(), 1);
  const Index height = got.size() / width;
  map.row_block = std::max<Index>(blocks(height, largest_map_rows), 1);
  map.column_block = blocks(width, largest_map_columns);
  map.share = Tensor<double>({blocks(height, map.row_block), blocks(width, map.column_block)});
  for (Index i = 0; i < got.size(); ++i) {
    const double share =
        bitwise ? share_of(got.at(i), wanted.at(i), 0, 1)
                : share_of(got.at(i), exact[i], truth.scale.at(output)[i], verdict->limits.max);
    double& cell = map.share(i / width / map.row_block, i % width / map.column_block);
    cell = std::max(cell, share);
  }
  return map;
}

std::optional<WorstCase> worst_case(const Report& report) {
  for (const ComponentResult& result : report.components) {
    if (!result.failure) continue;
    const CaseResult& smallest = result.failure->smallest;
    const TensorVerdict* tensor = smallest.verdict.first_divergent();
    if (tensor != nullptr) return WorstCase{result.name, smallest.planned, tensor->key};
  }
  const WorstRatio* closest = nullptr;
  std::optional<WorstCase> worst;
  for (const ComponentResult& result : report.components) {
    if (!(result.max.limit > 0)) continue;
    if (closest != nullptr &&
        result.max.ratio / result.max.limit <= closest->ratio / closest->limit) {
      continue;
    }
    closest = &result.max;
    worst = WorstCase{result.name, result.max.planned, result.max.output};
  }
  return worst;
}

}  // namespace pairedhead
