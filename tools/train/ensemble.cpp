#include "tools/train/ensemble.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "reference/error.h"

namespace pairedhead {
namespace {

// In standard deviations of a new value from the mean of these.
double studentised(double value, const std::vector<double>& others) {
  const auto count = static_cast<double>(others.size());
  double mean = 0, squares = 0;
  for (const double other : others) mean += other / count;
  for (const double other : others) squares += (other - mean) * (other - mean);
  const double deviation = std::sqrt(squares / (count - 1) * (1 + 1 / count));
  return value == mean ? 0 : std::abs(value - mean) / deviation;
}

std::map<Index, double> losses(const TrainingCurve& curve) {
  std::map<Index, double> by_step;
  for (const TrainingCurve::Point& point : curve.training) by_step[point.step] = point.loss;
  return by_step;
}

}  // namespace

EnsembleVerdict judge_ensemble(const TrainingCurve& run,
                               const std::vector<TrainingCurve>& members) {
  if (members.size() < 3) {
    throw InputError("ensemble: expected at least 3 members, got " +
                     std::to_string(members.size()));
  }
  std::vector<std::map<Index, double>> all;
  for (const TrainingCurve& member : members) all.push_back(losses(member));
  EnsembleVerdict verdict;
  for (const auto& [step, loss] : losses(run)) {
    std::vector<double> values;
    for (const auto& member : all) {
      if (const auto found = member.find(step); found != member.end()) {
        values.push_back(found->second);
      }
    }
    if (values.size() < all.size()) continue;
    const double here = studentised(loss, values);
    // What is no number counts as the largest.
    if (!(here <= verdict.largest) && !std::isnan(verdict.largest)) {
      verdict.largest = here;
      verdict.step = step;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::vector<double> others = values;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
      verdict.limit = std::max(verdict.limit, 2 * studentised(values[i], others));
    }
  }
  return verdict;
}

}  // namespace pairedhead
