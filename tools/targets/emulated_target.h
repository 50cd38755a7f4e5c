#pragma once

#include "tools/targets/target.h"

namespace pairedhead {

// The GPU's algorithms on the CPU (gpu/emulated/): what is verified where there is no GPU, and what
// false alarms are measured on.
class EmulatedTarget : public Target {
 public:
  std::string name() const override { return "emulated"; }
  std::optional<std::string> skips(const Component& component) const override;
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override;
};

}  // namespace pairedhead
