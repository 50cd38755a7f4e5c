#pragma once

#include "tools/targets/target.h"

namespace pairedhead {

// The reference itself, rounded to nearest at its M points and stored in the outputs' dtypes, as a
// perfect kernel would. It shares the reference's code, so it tests the verdict engine, and the
// bugs that are planted in the reference are judged through it. (A stochastic draw would not do: it
// takes, now and then, the unlikely one of two neighbours, which none of the draws that the error
// scale is made from may have taken.)
class RoundedTarget : public Target {
 public:
  std::string name() const override { return "rounded"; }
  std::optional<std::string> skips(const Component&) const override { return std::nullopt; }
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override;
};

}  // namespace pairedhead
