#include "tools/verify/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace pairedhead {
namespace {

constexpr std::array<double, 6> shares = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};

struct Curve {
  const char* name;
  double limit;
  const std::vector<double>* samples;
};

}  // namespace

double quantile(std::vector<double> samples, double share) {
  if (samples.empty()) throw InputError("quantile: expected at least one sample, got none");
  const auto n = static_cast<double>(samples.size());
  const auto place = static_cast<std::ptrdiff_t>(std::clamp(std::ceil(share * n), 1.0, n)) - 1;
  std::nth_element(samples.begin(), samples.begin() + place, samples.end());
  return samples[static_cast<std::size_t>(place)];
}

void Calibration::add(const std::string& component, const CaseResult& result) {
  Ratios worst;
  double rms_share = 0;
  for (const TensorVerdict& tensor : result.verdict.tensors) {
    worst = worst_of(worst, tensor.ratios);
    rms_share = std::max(rms_share, tensor.ratios.rms / tensor.limits.rms);
  }
  if (!(worst.max > 0)) return;
  Samples& samples = samples_[component];
  samples.max.push_back(worst.max);
  samples.row.push_back(worst.row);
  samples.rms_share.push_back(rms_share);
}

nlohmann::json Calibration::json() const {
  nlohmann::json all;
  for (const auto& [component, samples] : samples_) {
    nlohmann::json& entry = all[component];
    entry["cases"] = samples.max.size();
    for (const Curve& curve : {Curve{"rho_max", 8, &samples.max}, Curve{"rho_row", 4, &samples.row},
                               Curve{"rho_rms_share", 1, &samples.rms_share}}) {
      for (double share : shares) {
        entry[curve.name][fmt::format("{}", share)] = quantile(*curve.samples, share);
      }
    }
  }
  return all;
}

std::string Calibration::markdown() const {
  std::string table = "| row | cases | ratio |";
  for (double share : shares) table += share < 1 ? fmt::format(" {}% |", 100 * share) : " worst |";
  table += " limit |\n|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& [component, samples] : samples_) {
    for (const Curve& curve : {Curve{"ρ_max", 8, &samples.max}, Curve{"ρ_row", 4, &samples.row},
                               Curve{"ρ_rms / its limit", 1, &samples.rms_share}}) {
      table += fmt::format("| {} | {} | {} |", component, samples.max.size(), curve.name);
      for (double share : shares)
        table += fmt::format(" {:.2f} |", quantile(*curve.samples, share));
      table += fmt::format(" {:g} |\n", curve.limit);
    }
  }
  return table;
}

}  // namespace pairedhead
