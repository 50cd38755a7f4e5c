#pragma once

#include "tests/tools/fake_component.h"
#include "tools/report/report.h"

namespace pairedhead::testing {

// "averaging" under the name "failing", and what fails it at D=6 H=2 T=4.
inline Component failing_component() {
  Component failing = averaging();
  failing.name = "failing";
  return failing;
}
inline FakeTarget failing_target() {
  return cheating([](const Parameters& p, const Arrays&, Arrays& out) {
    if (p.integer("T") >= 4) out.at("grads/x").set(3, 1000);
  });
}

// One component that passes, one that fails, one that is skipped, one of bits.
inline Report fake_report() {
  VerifyOptions options;
  options.cases = 8;
  options.target = "fake";
  Report report;
  report.target = "fake";
  report.seed = 42;
  const auto add = [&](const Component& component, FakeTarget target) {
    report.components.push_back(run_component(component, target, options));
  };
  add(averaging(), FakeTarget(honest_averaging));
  add(failing_component(), failing_target());
  FakeTarget skipping(honest_averaging);
  skipping.skip_reason = "fused into <all> & \"more\"";
  Component skipped = averaging();
  skipped.name = "skipped";
  add(skipped, skipping);
  add(doubling(), FakeTarget(honest_doubling));
  return report;
}

}  // namespace pairedhead::testing
