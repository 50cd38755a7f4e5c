#pragma once

#include <functional>
#include <string>

#include "tools/targets/target.h"

// A component and targets small enough to see through, on which the engine itself is tested.

namespace pairedhead::testing {

// "averaging": x [T, H, D] in packed documents; y at a token is the mean of 1.1 x over the
// document so far (1.1 x is its M point), and the gradient of x is the adjoint. Both bf16.
Component averaging();

// "doubling": y = 2 x in bf16, judged bit by bit. x [T, D].
Component doubling();

// A sound implementation of `averaging`: fp32, sums in another order, nearest rounding at the M
// point.
void honest_averaging(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);
void honest_doubling(const Parameters& parameters, const Arrays& inputs, Arrays& outputs);

// A target made of one function.
class FakeTarget : public Target {
 public:
  using Run = std::function<void(const Parameters&, const Arrays&, Arrays&)>;
  explicit FakeTarget(Run run) : run_(std::move(run)) {}
  std::string name() const override { return "fake"; }
  std::optional<std::string> skips(const Component&) const override { return skip_reason; }
  void run(const Component&, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    ++calls;
    run_(parameters, inputs, outputs);
  }

  std::optional<std::string> skip_reason;
  int calls = 0;

 private:
  Run run_;
};

// What honest_averaging gives, changed by `change` afterwards.
FakeTarget cheating(const FakeTarget::Run& change);

// T=24 H=4 D=16 documents=10,14: more than 1024 elements, two documents.
Parameters averaging_case();

}  // namespace pairedhead::testing
