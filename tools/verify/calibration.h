#pragma once

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/verify/run_case.h"

namespace pairedhead {

// How the ratios of many honest cases are distributed, which is what the limits are calibrated on:
// the worst of them should stay a quarter under the limit.
class Calibration {
 public:
  // Notes the worst ratios of a case. Bitwise rows have none and are not noted.
  void add(const std::string& component, const CaseResult& result);

  // {"component": {"cases", "rho_max": {"0.5": ..., "0.99": ..., "1": ...}, "rho_row", "rho_rms"}}:
  // quantiles, each ratio as a share of its limit.
  nlohmann::json json() const;

  // The same, one row a component and ratio.
  std::string markdown() const;

 private:
  struct Samples {
    std::vector<double> max, row, rms;  // the worst of a case, in units of its limit
  };
  struct Curve {
    const char* key;
    const char* name;
    const std::vector<double>* samples;
  };
  static std::array<Curve, 3> curves(const Samples& samples);

  std::map<std::string, Samples> samples_;
};

// The smallest sample that at least `share` of the samples do not exceed; share 1 is the largest.
// Throws InputError on no samples.
double quantile(std::vector<double> samples, double share);

}  // namespace pairedhead
