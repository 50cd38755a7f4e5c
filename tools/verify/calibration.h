#pragma once

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

  // {"component": {"cases", "rho_max": {"0.5": ..., "0.99": ..., "1": ...}, "rho_row": ...,
  // "rho_rms" as shares of its limit, which depends on the number of elements}}
  nlohmann::json json() const;

  // One row a component and ratio: the quantiles beside the limit.
  std::string markdown() const;

 private:
  struct Samples {
    std::vector<double> max, row, rms_share;
  };
  std::map<std::string, Samples> samples_;
};

// The smallest sample that at least `share` of the samples do not exceed; share 1 is the largest.
// Throws InputError on no samples.
double quantile(std::vector<double> samples, double share);

}  // namespace pairedhead
