#pragma once

#include "tools/targets/target.h"

namespace pairedhead {

// The reference itself with stochastic rounding at its M points and its outputs stored in their
// dtype. It shares the reference's code, so it tests the verdict engine and nothing else.
class RoundedTarget : public Target {
 public:
  std::string name() const override { return "rounded"; }
  std::optional<std::string> skips(const Component&) const override { return std::nullopt; }
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override;
};

}  // namespace pairedhead
