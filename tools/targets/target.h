#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "golden/array.h"
#include "tools/components/component.h"

namespace pairedhead {

// An implementation under test.
class Target {
 public:
  virtual ~Target() = default;
  virtual std::string name() const = 0;
  // Why this target has nothing to run for the component, or nullopt if it has.
  virtual std::optional<std::string> skips(const Component& component) const = 0;
  // Runs one case. `outputs` arrives allocated, poisoned, keyed by OutputRow::key(); the target
  // overwrites every element. A device target carries the poison to the device, puts guard zones
  // around the buffers there, and throws GuardError when one was written.
  virtual void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
                   Arrays& outputs) = 0;
};

// A kernel wrote outside its output buffer.
class GuardError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The target itself is gone (a program that died, hangs or answers nonsense): no case can be judged
// any more, and the run ends with exit code 2.
class TargetError : public InputError {
 public:
  using InputError::InputError;
};

// "emulated", "rounded", "gpu", "exec:CMD". Throws InputError on another word, DeviceError where
// the machine has no usable GPU.
std::unique_ptr<Target> make_target(const std::string& name);

}  // namespace pairedhead
