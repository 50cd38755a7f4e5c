#include "tools/verify/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pairedhead {
namespace {

constexpr std::array<double, 6> shares = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};

}  // namespace

double quantile(std::vector<double> samples, double share) {
  if (samples.empty()) throw InputError("quantile: expected at least one sample, got none");
  const auto n = static_cast<double>(samples.size());
  const auto place = static_cast<std::ptrdiff_t>(std::clamp(std::ceil(share * n), 1.0, n)) - 1;
  std::nth_element(samples.begin(), samples.begin() + place, samples.end());
  return samples[static_cast<std::size_t>(place)];
}

void Calibration::add(const std::string& component, const CaseResult& result) {
  Ratios worst;  // in units of their limits
  for (const TensorVerdict& tensor : result.verdict.tensors) {
    const auto& [ratios, limits] = std::pair(tensor.ratios, tensor.limits);
    worst = worst_of(worst,
                     {ratios.max / limits.max, ratios.row / limits.row, ratios.rms / limits.rms});
  }
  if (!(worst.max > 0)) return;
  Samples& samples = samples_[component];
  samples.max.push_back(worst.max);
  samples.row.push_back(worst.row);
  samples.rms.push_back(worst.rms);
}

std::array<Calibration::Curve, 3> Calibration::curves(const Samples& samples) {
  return {{{"rho_max", "ρ_max", &samples.max},
           {"rho_row", "ρ_row", &samples.row},
           {"rho_rms", "ρ_rms", &samples.rms}}};
}

nlohmann::json Calibration::json() const {
  nlohmann::json all;
  for (const auto& [component, samples] : samples_) {
    nlohmann::json& entry = all[component];
    entry["cases"] = samples.max.size();
    for (const Curve& curve : curves(samples)) {
      for (double share : shares) {
        entry[curve.key][fmt::format("{}", share)] = quantile(*curve.samples, share);
      }
    }
  }
  return all;
}

std::string Calibration::markdown() const {
  std::string table = "| row | cases | ratio |";
  for (double share : shares) table += share < 1 ? fmt::format(" {}% |", 100 * share) : " worst |";
  table += "\n|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& [component, samples] : samples_) {
    for (const Curve& curve : curves(samples)) {
      table += fmt::format("| {} | {} | {} |", component, samples.max.size(), curve.name);
      for (double share : shares) {
        table += fmt::format(" {:.2f} |", quantile(*curve.samples, share));
      }
      table += "\n";
    }
  }
  return table;
}

}  // namespace pairedhead
